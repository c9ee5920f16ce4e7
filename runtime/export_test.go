package aegis

import (
	"strings"
	"time"

	"github.com/aegisrpc/aegis/runtime/internal/handling"
)

// What black-box tests look at inside.

// DetectPauses makes servers notice pauses as early as they do outside of tests.
func DetectPauses() { handling.SetLateness(handling.TickLateness) }

// CancelsNoted returns how many cancels wait for their requests.
func (s *Server) CancelsNoted() int { return s.pool.Noted() }

// Expire makes s refuse requests as one does whose grace period is over.
func (s *Server) Expire() { s.expired.Store(true) }

// Suspect makes s take all that arrives for old, or for new again.
func (s *Server) Suspect(suspect bool) {
	s.pulse.Suspect(suspect)
}

// PretendUp makes c believe that its connection is up, as it does for a moment
// after it went down.
func (c *Conn) PretendUp() { c.bus.Link.Pretend(true) }

// RepliesKept is how many replies wait for NATS to come back.
func (c *Conn) RepliesKept() int {
	return c.bus.Outbox.Kept()
}

// ProbeVoid makes s look now for what it looks for once a minute.
func (s *Server) ProbeVoid() {
	s.conn.void.Look()
}

// ProbedVoid reports whether it is known whether NATS says that nobody listens, for
// all that c sends requests to.
func (c *Conn) ProbedVoid() bool { return c.void.Probed() }

// StreamsKept is what a server holds for streams: ends, handlers, other
// processes, and last frames that were not confirmed.
func (s *Server) StreamsKept() int {
	return s.streams.Kept()
}

// StreamsKept is the same of a connection's clients.
func (c *Conn) StreamsKept() int { return c.streams.Kept() }

// LooksAfterEvents reports whether c watches over events that were published and
// not acknowledged.
func (c *Conn) LooksAfterEvents() bool { return c.async.Watching() }

// SendEventsAgain is what was chosen to be sent again a while ago: all that is not
// acknowledged.
func (c *Conn) SendEventsAgain() { c.async.ResendAll() }

// ResultsUnderWay is how many commands have run whose results are not stored yet.
func (s *Server) ResultsUnderWay() int {
	names := make(map[string]int)
	for _, w := range s.work {
		w.running(names)
	}
	n := 0
	for name, count := range names {
		if strings.HasPrefix(name, "the storing of results of ") {
			n += count
		}
	}
	return n
}

func init() { handling.SetHearAgain(300 * time.Millisecond) } //nolint:gochecknoinits // before any server is made
