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
	case c.try.Exhausted():
		c.bury(c.try.Counted(), c.exhausted())
	case c.try.Number() == 1 && c.expired(time.Now()):
		c.finish(outcomeOf(wire.StateExpired, errExpiredCommand, 0))
	default:
		c.run()
	}
}

// begin waits until the handler may begin, and stores that it does where that has
// to be known. If it returns false, the command was given back.
func (c *commandMessage) begin() bool {
	w, m := c.worker, c.message
	base := w.server.base
	if c.term != nil {
		base = c.term.base
	}
	var ok bool
	if c.pass, ok = w.server.alone.begin(base, c.try.Suspect()); !ok || !w.mayWork(c) {
		if ok {
			w.server.alone.end(c.pass)
		}
		w.records.giveBack(w.server.base, m, c.try, false, leaderPause)
		return false
	}
	if !w.records.note(base, m, c.try) {
		w.server.alone.end(c.pass)
		w.records.giveBack(w.server.base, m, c.try, false, backoffAfter(w.spec().Retry, 1))
		return false
	}
	return true
}

// exhausted is why the command has no further attempt.
func (c *commandMessage) exhausted() *Error {
	if reason := c.try.Reason(); reason != "" {
		return NewError(CodeAborted, reason)
	}
	return Errorf(CodeAborted, "the worker of the last attempt was lost")
}
