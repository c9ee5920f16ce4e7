package aegis

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

// Progress is a report of a command's handler.
type Progress struct {
	// Percent is how much is done, 0 to 100.
	Percent float64
	// Message is what is being done, for people.
	Message string
}

// progressRecord is what is stored of a command that runs.
type progressRecord struct {
	Progress

	send     string // which of the commands with its id it is of
	attempt  int
	reported bool // by the handler; else it says only which attempt runs
}

type progressJSON struct {
	Send    string   `json:"send,omitempty"`
	Attempt int      `json:"attempt"`
	Percent *float64 `json:"percent,omitempty"`
	Message string   `json:"message,omitempty"`
}

func parseProgress(data []byte) (progressRecord, bool) {
	var j progressJSON
	if json.Unmarshal(data, &j) != nil || j.Attempt < 1 {
		return progressRecord{}, false
	}
	p := progressRecord{send: j.Send, attempt: j.Attempt}
	if j.Percent != nil {
		p.reported, p.Progress = true, Progress{Percent: *j.Percent, Message: j.Message}
	}
	return p, true
}

// Job is the command that a handler works on. It is safe for concurrent use.
type Job struct {
	// ID is that of the command: the same in all attempts.
	ID string
	// Attempt is the number of the attempt, from 1 on. No two have the same one, also
	// not one that a stopping server gave back; so it can be greater than the number
	// of those that count.
	Attempt int

	run *commandRun
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
	if err := j.run.report(ctx, progressJSON{Send: j.run.send, Attempt: j.Attempt, Percent: &p.Percent, Message: p.Message}); err != nil {
		return err
	}
	return nil
}

// commandContext is the context of a command's handler: it ends when the command
// is canceled, the attempt has timed out, or the server's patience has.
type commandContext struct {
	context.Context //nolint:containedctx // it is a context
	call            Call
	job             Job
}

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

var (
	errCanceledCommand = NewError(CodeCanceled, "the command was canceled")
	errExpiredCommand  = refusal(CodeDeadlineExceeded, wire.ReasonExpired, "the command expired before a worker began it")
)

// attemptTimeoutError is the cause of a context whose attempt takes too long.
type attemptTimeoutError struct{ after time.Duration }

func (e *attemptTimeoutError) Error() string {
	return "the attempt took longer than " + e.after.String() + " without a report"
}

func (e *attemptTimeoutError) Is(target error) bool { return target == context.DeadlineExceeded }

// commandRun is one attempt that runs.
type commandRun struct {
	worker  *commandWorker
	id      string
	send    string // which of the commands with its id it is
	attempt int
	cancel  context.CancelCauseFunc

	mu    sync.Mutex
	timer *time.Timer // ends the attempt, and says before that it runs
	ends  time.Time   // when the attempt does
	said  bool        // that it runs
	over  bool
}

// errRunOver is what a report gets that comes too late.
var errRunOver = NewError(CodeFailedPrecondition, "the attempt is over")

// begin starts the clocks.
func (r *commandRun) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	timeout := r.worker.spec().AttemptTimeout
	r.ends = time.Now().Add(timeout)
	r.timer = time.AfterFunc(min(markAfter, timeout), r.rings)
}

// rings says that the attempt runs, or ends it, whatever it is time for.
func (r *commandRun) rings() {
	r.mu.Lock()
	left, said, over := time.Until(r.ends), r.said, r.over
	r.said = true
	if !over && left > 0 {
		r.timer.Reset(left)
	}
	r.mu.Unlock()
	switch {
	case over:
	case left <= 0:
		r.cancel(&attemptTimeoutError{r.worker.spec().AttemptTimeout})
	case !said:
		r.sayRunning()
	}
}

// markAfter is how long an attempt runs before it is stored that it does: short
// ones need not pay for it.
const markAfter = time.Second

func (r *commandRun) sayRunning() {
	ctx, cancel := context.WithTimeout(context.Background(), stores.DefaultTimeout)
	defer cancel()
	if err := r.store(ctx, progressJSON{Send: r.send, Attempt: r.attempt}); err != nil && err != errRunOver {
		r.worker.logger().Warn("aegis: it cannot be stored that a command runs", "command", r.id, "err", err)
	}
}

func (r *commandRun) report(ctx context.Context, p progressJSON) *Error {
	r.mu.Lock()
	if r.over {
		r.mu.Unlock()
		return errRunOver
	}
	timeout := r.worker.spec().AttemptTimeout
	r.ends = time.Now().Add(timeout)
	r.timer.Reset(timeout)
	r.said = true // by the report
	r.mu.Unlock()
	ctx, cancel := withDefaultTimeout(ctx)
	defer cancel()
	return r.store(ctx, p)
}

func (r *commandRun) store(ctx context.Context, p progressJSON) *Error {
	data, err := json.Marshal(p)
	if err != nil {
		return Errorf(CodeInvalidArgument, "progress: %w", err)
	}
	r.mu.Lock()
	over := r.over
	r.mu.Unlock()
	if over {
		return errRunOver
	}
	w := r.worker
	subject := w.server.conn.subjects.Result(w.service.spec.Name, r.id, wire.ResultProgress)
	deadline, _ := ctx.Deadline()
	slot := w.server.conn.bus.Acquire()
	defer w.server.conn.bus.Release(slot)
	slot.Payload = append(slot.Payload[:0], data...)
	_, failure := w.results.store(ctx, slot, &storing{
		Subject: &subject, Header: nats.Header{wire.HeaderTTL: {w.resultTTL}}, Deadline: deadline, Again: true,
	})
	if failure == nil {
		w.server.conn.tell(w.service.spec.Name, r.id, wire.ResultProgress, nil, data)
	}
	return failure
}

// end stops the clocks.
func (r *commandRun) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.over = true
	r.timer.Stop()
}
