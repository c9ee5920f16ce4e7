package health

import "time"

// Refusal is why a request was refused before its handler ran.
type Refusal uint8

// The refusals.
const (
	// RefusedOverloaded: as many handlers ran as may run at once.
	RefusedOverloaded Refusal = iota
	// RefusedStopping: the instance was stopping.
	RefusedStopping
	// RefusedStale: the request had waited in a paused process.
	RefusedStale
	// RefusedNotActive: the instance did not lead the method's group.
	RefusedNotActive
)

const refusals = 4

// String returns the reason as it travels in replies, such as "OVERLOADED".
func (r Refusal) String() string {
	switch r {
	case RefusedOverloaded:
		return "OVERLOADED"
	case RefusedStopping:
		return "STOPPING"
	case RefusedStale:
		return "STALE"
	case RefusedNotActive:
		return "NOT_ACTIVE"
	default:
		return "UNKNOWN"
	}
}

// Refuse counts that a request was refused at now. It is no request in the
// figures, and no error: nothing ran, and the client tries elsewhere. Begin and
// End are not called for it.
func (m *Method) Refuse(now time.Time, why Refusal) {
	if why < refusals {
		m.window.refuse(max(now.Sub(m.start), 0), why)
	}
}
