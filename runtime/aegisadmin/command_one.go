package aegisadmin

import (
	"context"
	"strconv"
	"time"

	"github.com/aegisrpc/aegis/internal/wire"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/internal/commandwait"
	"github.com/aegisrpc/aegis/runtime/internal/status"
)

// Command returns a command by its id, in whatever state, with all that is stored of it.
// The code of the error is CodeNotFound if there is no such command, or its result is kept
// no longer.
func (a *Admin) Command(ctx context.Context, service, id string) (*Command, error) {
	if err := a.check(service); err != nil {
		return nil, err
	}
	if !wire.ValidCommandID(id) {
		return nil, aegis.Errorf(aegis.CodeInvalidArgument, "%q is no id of a command: it has two parts of letters and digits with a dot between them", id)
	}
	ctx, cancel := within(ctx)
	defer cancel()
	// The result is stored before the command leaves the queue, so that it is in one of them
	// at least; after a look in vain it may have ended between the two. While it is in both it
	// has ended, unless the result is that of an earlier command with its id.
	for range 2 {
		ended, err := a.ended(ctx, service, id)
		if err != nil {
			return nil, err
		}
		queued, err := a.inQueue(ctx, service, id)
		if err != nil {
			return nil, err
		}
		if ended != nil && (queued == nil || queued.send == ended.send) {
			return ended, nil
		}
		if queued != nil {
			return queued, nil
		}
	}
	return nil, aegis.Errorf(aegis.CodeNotFound, "there is no command %s of %s, or its result is kept no longer", id, service)
}

// inQueue returns a command that has not ended; nil if it is not in the queue.
func (a *Admin) inQueue(ctx context.Context, service, id string) (*Command, error) {
	results := a.results(service)
	msg, why := a.in.Stores.Last(ctx, results.Queue, a.in.Layout.Subjects.CommandAnywhere(service, "*", id))
	if msg == nil || why != nil {
		return nil, a.refused(why)
	}
	c, ok := a.queued(service, msg)
	if !ok {
		return nil, nil //nolint:nilnil // no command
	}
	if c.State == Waiting {
		delivered, err := a.delivered(ctx, service)
		if err != nil {
			return nil, err
		}
		if c.Sequence <= delivered[deliveredKey(c.Method, c.Priority)] {
			if err := a.viewAttempts(ctx, c); err != nil {
				return nil, err
			}
		}
	}
	stop, why := results.Last(ctx, id, wire.ResultStop)
	if why != nil {
		return nil, a.refused(why)
	}
	c.Canceling = stop != nil && string(stop.Data) == c.send
	return c, nil
}

// ended returns a command that has ended; nil if there is no result.
func (a *Admin) ended(ctx context.Context, service, id string) (*Command, error) {
	msg, why := a.results(service).Outcome(ctx, id)
	if msg == nil || why != nil {
		return nil, a.refused(why)
	}
	c := &Command{
		Service: service, ID: id, State: CommandState(msg.Header.Get(wire.HeaderState)), Stored: msg.Time,
		ContentType: msg.Header.Get(wire.HeaderContentType), Header: metadataOf(msg.Header), send: msg.Header.Get(wire.HeaderSend),
	}
	c.Attempt, _ = strconv.Atoi(msg.Header.Get(wire.HeaderAttempt)) // 0 for none
	if c.State == Succeeded {
		c.Data = msg.Data
		return c, nil
	}
	c.Err = a.refused(status.Decode(msg.Header, msg.Data))
	return c, nil
}

// CancelCommand asks for the end of a command, as its sender can: a command that no worker
// has begun never begins, and the context of a handler that runs ends. The code of the
// error is CodeFailedPrecondition if the command has ended, and CodeNotFound if there is
// none any more. Without a deadline of ctx it waits for 5 s.
func (a *Admin) CancelCommand(ctx context.Context, c *Command) error {
	if err := a.check(c.Service); err != nil {
		return err
	}
	if c.Method == "" {
		return aegis.Errorf(aegis.CodeFailedPrecondition, "the command %s has ended already, as %s", c.ID, c.State)
	}
	ctx, cancel := within(ctx)
	defer cancel()
	listener := commandwait.NewListener(commandwait.Options{Results: a.results(c.Service)})
	return a.refused(listener.Command(c.Method, c.ID).Cancel(ctx, canceledKept.String()))
}

// canceledKept is how long the result of a scheduled command is kept that was canceled
// here: the default of result_ttl, as the method's own one is not known.
const canceledKept = 24 * time.Hour

// DeleteCommand takes a command out of its queue as if it had never been sent: it has no
// result, and whoever waits for one is told that there is no such command. The code of the
// error is CodeFailedPrecondition if a worker has it; cancel it then. It is no error if the
// command is gone.
func (a *Admin) DeleteCommand(ctx context.Context, c *Command) error {
	if err := a.check(c.Service); err != nil {
		return err
	}
	ctx, cancel := within(ctx)
	defer cancel()
	now, err := a.inQueue(ctx, c.Service, c.ID)
	if err != nil || now == nil || now.Sequence != c.Sequence {
		return err
	}
	if now.State != Waiting && now.State != Scheduled {
		return aegis.Errorf(aegis.CodeFailedPrecondition, "the command %s is %s: a worker has it; cancel it instead", c.ID, now.State)
	}
	stream, err := a.in.Stores.Find(ctx, wire.CommandStream(a.in.Layout.Namespace, c.Service))
	if err == nil {
		err = a.in.Stores.Delete(ctx, stream, c.Sequence)
	}
	return a.failed(err)
}
