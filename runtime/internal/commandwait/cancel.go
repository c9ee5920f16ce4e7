package commandwait

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/commandstore"
	"github.com/aegisrpc/aegis/runtime/internal/status"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

// Cancel stores that the command is to stop. A command that is not due has no worker:
// Cancel ends it itself, with an outcome that is kept for resultTTL. ctx has a deadline.
func (c *Command) Cancel(ctx context.Context, resultTTL string) *status.Status {
	view, why := c.View(ctx)
	switch {
	case why != nil:
		return why
	case view.State == Unknown:
		return c.NotFound()
	case view.State.Ended():
		return status.Newf(status.FailedPrecondition, "the command %s has ended already, as %s", c.id, view.State)
	}
	results := c.listener.Results
	deadline, _ := ctx.Deadline()
	if why := results.Stream.Ensure(ctx, deadline); why != nil {
		return why
	}
	// Before the command is taken out of the schedule: should it become due meanwhile, its
	// worker finds the cancel.
	sequence, why := results.PutCancel(ctx, c.id, view.send(), deadline)
	if why != nil {
		return why
	}
	if view.State == Scheduled {
		return c.unschedule(ctx, view, sequence, resultTTL, deadline)
	}
	c.crossed(ctx, sequence)
	return nil
}

// crossed takes the cancel back if the command has ended while the cancel was stored:
// no worker may have the command in its hands any more. If that cannot be read, the
// cancel stays, and concerns nobody.
func (c *Command) crossed(ctx context.Context, sequence uint64) {
	if outcome, why := c.stored(ctx, wire.ResultResult); outcome != nil && why == nil {
		c.listener.Results.TakeBackCancel(ctx, c.id, sequence)
	}
}

// unschedule takes the command out of the schedule and ends it; if it has just entered
// the queue, a worker ends it there.
func (c *Command) unschedule(ctx context.Context, scheduled *View, cancel uint64, resultTTL string, deadline time.Time) *status.Status {
	results := c.listener.Results
	stream, err := results.Stores.Find(ctx, results.Queue)
	if err != nil {
		return stores.StatusOf(err)
	}
	if err := stream.Purge(ctx, jetstream.WithPurgeSubject(scheduled.message.Subject)); err != nil {
		return stores.StatusOf(err)
	}
	view, why := c.View(ctx)
	if why != nil {
		return why
	}
	if view.State != Unknown {
		c.crossed(ctx, cancel)
		return nil
	}
	outcome := commandstore.Failure(wire.StateCanceled, commandstore.Canceled, 0, wire.WantsJSON(scheduled.message.Header))
	if _, why := results.PutOutcome(ctx, c.id, scheduled.send(), resultTTL, outcome, deadline); why != nil {
		return why
	}
	results.TakeBackCancel(ctx, c.id, cancel)
	return nil
}
