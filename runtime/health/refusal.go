package health

import "time"

// Refusal is why a request was refused before its handler ran.
type Refusal uint8

// The reasons of refusals.
const (
	// RefusedOverloaded says that as many handlers ran as may run at once.
	RefusedOverloaded Refusal = iota
	// RefusedStopping says that the instance was stopping.
	RefusedStopping
	// RefusedStale says that the request had waited in a paused process.
	RefusedStale
	// RefusedNotActive says that the instance did not lead the method's group.
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

// Refuse counts that a request was refused at now. It counts neither as a request nor as
// an error: no handler ran, and the client tries another instance. Begin and End are not
// called for it.
func (m *Method) Refuse(now time.Time, why Refusal) {
	if why < refusals {
		m.window.refuse(max(now.Sub(m.start), 0), why)
	}
}
