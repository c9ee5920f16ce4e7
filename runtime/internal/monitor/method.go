package monitor

import (
	"strconv"
	"sync/atomic"
	"time"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/health"
	"github.com/aegisrpc/aegis/runtime/internal/micro"
	"github.com/aegisrpc/aegis/runtime/internal/status"
)

// Method counts the calls of one method. Counting allocates nothing. A Method is safe
// for concurrent use.
type Method struct {
	Health    *health.Method         // set before the first call
	lastError atomic.Pointer[string] // as NATS micro shows it: code and text
}

// Begin counts a call whose handler is about to run. Done or DoneAt follows.
func (m *Method) Begin() { m.Health.Begin() }

// Done counts the end of a call, with the time since the request arrived as its
// latency. st is nil for a response.
func (m *Method) Done(arrived time.Time, st *status.Status) {
	took := time.Since(arrived) // cheaper than time.Now
	m.DoneAt(arrived.Add(took), took, st)
}

// DoneAt counts the end of a call whose latency is not the time since its arrival, as
// that of a stream.
func (m *Method) DoneAt(now time.Time, latency time.Duration, st *status.Status) {
	if st == nil {
		m.Health.End(now, latency, 0)
		return
	}
	m.Health.End(now, latency, health.Code(st.Code))
	text := strconv.Itoa(int(st.Code)) + ":" + wire.HeaderText(st.Message)
	m.lastError.Store(&text)
}

// Refused counts a call whose handler does not run. A request that cannot be read is
// an error as any other. A request that another instance could take is none.
func (m *Method) Refused(arrived time.Time, st *status.Status) {
	if why, ok := refusalOf(st.Reason); ok {
		m.Health.Refuse(arrived, why)
		return
	}
	m.Begin()
	m.Done(arrived, st)
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

// counted returns the figures since the start of the process.
func (m *Method) counted() micro.Stats {
	totals := m.Health.Totals()
	stats := micro.Stats{Requests: int64(totals.Requests), Processing: totals.Busy}
	for _, n := range totals.Errors {
		stats.Errors += int64(n)
	}
	if last := m.lastError.Load(); last != nil {
		stats.LastError = *last
	}
	return stats
}
