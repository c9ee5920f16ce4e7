package aegis

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/runtime/internal/commandwork"
)

// Progress is a report of a command's handler.
type Progress struct {
	// Percent is how much is done, 0 to 100.
	Percent float64
	// Message is what is being done, for people.
	Message string
}

// Job is the command that a handler works on. It is safe for concurrent use.
type Job struct {
	// ID is that of the command: the same in all attempts.
	ID string
	// Attempt is the number of the attempt, from 1 on. No two have the same one, also
	// not one that a stopping server gave back; so it can be greater than the number
	// of those that count.
	Attempt int

	clock *commandwork.Attempt
}

type jobKey struct{}

// JobFromContext returns the command that a handler works on.
func JobFromContext(ctx context.Context) (*Job, bool) {
	job, ok := ctx.Value(jobKey{}).(*Job)
	return job, ok
}

// Report stores how far the work is and shows it to whoever watches the
// command. It also starts the attempt's timeout anew. The error is an *Error; the
// work need not end because of it.
func (j *Job) Report(ctx context.Context, p Progress) error {
	if !(p.Percent >= 0 && p.Percent <= 100) {
		return Errorf(CodeInvalidArgument, "progress of %v percent: use 0 to 100", p.Percent)
	}
	ctx, cancel := withDefaultTimeout(ctx)
	defer cancel()
	return errorOrNone(outward(j.clock.Report(ctx, p.Percent, p.Message)))
}

// commandContext is the context of a command's handler. It ends when the command is
// canceled, when the attempt has timed out, and when the server's patience is over.
type commandContext struct {
	context.Context //nolint:containedctx // it is a context
	call            Call
	job             Job
}

// Value returns the call and the job to the functions that look for them.
func (c *commandContext) Value(key any) any {
	switch key.(type) {
	case currentKey:
		return &c.call
	case jobKey:
		return &c.job
	}
	return c.Context.Value(key)
}

// Err tells a timeout from a cancel.
func (c *commandContext) Err() error {
	err := c.Context.Err()
	if err != nil && errors.Is(context.Cause(c.Context), context.DeadlineExceeded) {
		return context.DeadlineExceeded
	}
	return err
}

// incomingMetadata returns the metadata of a command.
func incomingMetadata(h nats.Header) Header {
	metadata, err := decodeHeader(h)
	if err != nil {
		return Header{} // a value that is no base64 is nobody's
	}
	return metadata
}
