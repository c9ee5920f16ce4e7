package aegis

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/runtime/internal/status"
)

// Progress is a report of a command's handler about its work.
type Progress struct {
	// Percent is how much of the work is done, 0 to 100.
	Percent float64
	// Message says, for people, what the handler is doing.
	Message string
}

// Job is the command that a handler works on. It is safe for concurrent use.
type Job struct {
	// ID is the id of the command. It is the same in all attempts.
	ID string
	// Attempt is the number of the attempt, from 1 on. No two attempts of a command have
	// the same number. An attempt that a stopping server gave back has one too, although
	// it does not count, so that the number may exceed the retry's max_attempts.
	Attempt int

	report func(ctx context.Context, percent float64, message string) *status.Status
}

type jobKey struct{}

// JobFromContext returns the command that a handler works on, by the handler's context.
// It returns false for the context of anything but a command's handler.
func JobFromContext(ctx context.Context) (*Job, bool) {
	job, ok := ctx.Value(jobKey{}).(*Job)
	return job, ok
}

// Report stores how far the work is, and shows that to everybody who watches the command.
// It also starts the attempt's timeout anew, whether or not it is stored. Without a
// deadline of ctx it waits for 5 s. The error is an *Error, and the handler may go on
// after it; its code is CodeInvalidArgument for a percentage beyond 0 to 100, and
// CodeFailedPrecondition if the attempt is over.
func (j *Job) Report(ctx context.Context, p Progress) error {
	if !(p.Percent >= 0 && p.Percent <= 100) {
		return Errorf(CodeInvalidArgument, "progress of %v percent: use 0 to 100", p.Percent)
	}
	ctx, cancel := withDefaultTimeout(ctx)
	defer cancel()
	return errorOrNone(outward(j.report(ctx, p.Percent, p.Message)))
}

// commandContext is the context of a command's handler. It ends when the command is
// canceled, when the attempt has timed out, and when the server's patience is over.
type commandContext struct {
	context.Context //nolint:containedctx // it is a context
	call            Call
	job             Job
}

// Value returns the call for CallFromContext, and the job for JobFromContext.
func (c *commandContext) Value(key any) any {
	switch key.(type) {
	case currentKey:
		return &c.call
	case jobKey:
		return &c.job
	}
	return c.Context.Value(key)
}

// Err returns context.DeadlineExceeded when the attempt has timed out, although its
// context ends by a cancel, like that of a canceled command.
func (c *commandContext) Err() error {
	err := c.Context.Err()
	if err != nil && errors.Is(context.Cause(c.Context), context.DeadlineExceeded) {
		return context.DeadlineExceeded
	}
	return err
}

// commandMetadata returns the metadata of a command. Metadata that cannot be read count
// as none: no caller waits who could be told.
func commandMetadata(h nats.Header) Header {
	metadata, err := decodeHeader(h)
	if err != nil {
		return Header{}
	}
	return metadata
}
