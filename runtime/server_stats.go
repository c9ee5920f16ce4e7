package aegis

import (
	"time"

	"github.com/aegisrpc/aegis/runtime/internal/micro"
	"github.com/aegisrpc/aegis/runtime/internal/monitor"
)

// methodStats counts the calls of a method, with the errors of the face.
type methodStats struct{ monitor.Method }

// begin counts a call whose handler is about to run; done or ended follows.
func (s *methodStats) begin() { s.Begin() }

// done counts the end of a call; err is nil for a response.
func (s *methodStats) done(arrived time.Time, err *Error) { s.Done(arrived, err.inward()) }

// ended is done with a latency that is not the time since the arrival.
func (s *methodStats) ended(now time.Time, latency time.Duration, err *Error) {
	s.DoneAt(now, latency, err.inward())
}

// refused counts a call whose handler does not run.
func (s *methodStats) refused(arrived time.Time, err *Error) { s.Refused(arrived, err.inward()) }

// microStats returns the figures of a method for the tools for NATS micro.
func (s *Server) microStats(of *methodStats) micro.Stats { return s.monitor.Micro(&of.Method) }
