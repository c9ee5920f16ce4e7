package aegis

import (
	"encoding/json"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/health"
	"github.com/aegisrpc/aegis/runtime/internal/micro"
)

// methodStats counts the calls of a method. Counting allocates nothing.
type methodStats struct {
	health    *health.Method
	lastError atomic.Pointer[string] // for NATS micro
}

// begin counts a call whose handler is about to run; done follows.
func (s *methodStats) begin() { s.health.Begin() }

// done counts that the call has ended; err is nil for a response.
func (s *methodStats) done(arrived time.Time, err *Error) {
	took := time.Since(arrived) // which is cheaper than time.Now
	s.ended(arrived.Add(took), took, err)
}

// ended is done with a latency that is not the time since the arrival.
func (s *methodStats) ended(now time.Time, latency time.Duration, err *Error) {
	if err == nil {
		s.health.End(now, latency, 0)
		return
	}
	s.health.End(now, latency, health.Code(err.Code()))
	text := strconv.Itoa(int(err.Code())) + ":" + wire.HeaderText(err.Message())
	s.lastError.Store(&text)
}

// refused counts a call whose handler does not run. One that cannot be read is an
// error like any other; what another instance could take is no error.
func (s *methodStats) refused(arrived time.Time, err *Error) {
	if why, ok := refusalOf(err.Reason()); ok {
		s.health.Refuse(arrived, why)
		return
	}
	s.begin()
	s.done(arrived, err)
}

func refusalOf(reason string) (health.Refusal, bool) {
	switch reason {
	case wire.ReasonOverloaded:
		return health.RefusedOverloaded, true
	case wire.ReasonStopping:
		return health.RefusedStopping, true
	case wire.ReasonStale:
		return health.RefusedStale, true
	case wire.ReasonNotActive:
		return health.RefusedNotActive, true
	default:
		return 0, false
	}
}

// read returns what was counted since the start.
func (s *methodStats) read() micro.Stats {
	totals := s.health.Totals()
	stats := micro.Stats{Requests: int64(totals.Requests), Processing: totals.Busy}
	for _, n := range totals.Errors {
		stats.Errors += int64(n)
	}
	if last := s.lastError.Load(); last != nil {
		stats.LastError = *last
	}
	return stats
}

// microStats is what $SRV.STATS says of a method: what was counted since the
// start, and a report of the method alone.
func (s *Server) microStats(of *methodStats) micro.Stats {
	stats := of.read()
	stats.Data = encodeReport(s.monitor.assess(health.Snapshot{Stats: of.health.Stats(time.Now())}))
	return stats
}

// encodeReport returns nil for what has no JSON, which cannot be.
func encodeReport(r health.Report) json.RawMessage {
	data, err := r.Encode()
	if err != nil {
		return nil
	}
	return data
}
