package aegis

import (
	"time"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/pull"
)

// attemptsOf is where the attempts of a command are recorded.
func (w *commandWorker) attemptsOf(m *pull.Message) string {
	id, _ := wire.ParseCommandID(m.Subject, 0)
	return w.server.conn.subjects.Result(w.service.spec.Name, id, wire.ResultAttempts)
}

// leaderPause is how long a command waits for somebody who leads.
const leaderPause = 100 * time.Millisecond

// attempt works one command that has not ended, if it may have another attempt.
func (c *commandMessage) attempt() {
	switch {
	case c.job.Try.Exhausted():
		c.bury(c.job.Try.Counted(), c.exhausted())
	case c.job.Try.Number() == 1 && c.expired(time.Now()):
		c.finish(outcomeOf(wire.StateExpired, errExpiredCommand, 0))
	default:
		c.run()
	}
}

// begin waits until the handler may begin, and stores that it does where that has
// to be known. If it returns false, the command was given back.
func (c *commandMessage) begin() bool {
	w := c.worker
	base := w.server.base
	if c.term != nil {
		base = c.term.Base
	}
	return c.job.Begin(base, func() bool { return w.mayWork(c) })
}

// exhausted is why the command has no further attempt.
func (c *commandMessage) exhausted() *Error {
	return NewError(CodeAborted, c.job.Exhausted("the worker of the last attempt was lost").Error())
}
