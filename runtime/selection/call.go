package selection

import (
	"slices"
	"time"
)

// Call describes to a strategy the call that it picks an instance for.
type Call struct {
	// Key is the key by which [Sticky] picks; empty for none.
	Key string
	// Tried are the instances that must not be picked again; nil for none.
	Tried *Tried
}

// Usable reports whether instance can take this call: it is a candidate now, and the call
// was not tried on it.
func (c Call) Usable(instance *Instance) bool {
	return instance.candidate.Load() && !c.Tried.Has(instance)
}

// Tried is the set of instances that one call was tried on. The zero Tried is empty. The
// first four instances need no allocation. It is not safe for concurrent use.
type Tried struct {
	few  [4]*Instance
	n    int
	more []*Instance
}

// Add adds instance.
func (t *Tried) Add(instance *Instance) {
	if t.n < len(t.few) {
		t.few[t.n] = instance
		t.n++
		return
	}
	t.more = append(t.more, instance)
}

// Has reports whether instance was added. A nil Tried is empty.
func (t *Tried) Has(instance *Instance) bool {
	if t == nil {
		return false
	}
	return slices.Contains(t.few[:t.n], instance) || slices.Contains(t.more, instance)
}

// Len returns how many instances were added. A nil Tried is empty.
func (t *Tried) Len() int {
	if t == nil {
		return 0
	}
	return t.n + len(t.more)
}

// Reset empties the set, so that it can be used for another call.
func (t *Tried) Reset() { *t = Tried{} }

// Failure says how a call has failed, where that says something about the instance.
type Failure uint8

const (
	// FailureNone says that the instance has answered. Errors of its handlers are answers too.
	FailureNone Failure = iota
	// FailureNoResponders says that nobody listens on the subject of the instance. It is not
	// picked again until it is seen alive.
	FailureNoResponders
	// FailureStopping says that the instance has refused the call as it shuts down. It is
	// not picked again.
	FailureStopping
	// FailureOverloaded says that the instance has refused the call as it has too many.
	FailureOverloaded
	// FailureLost says that no answer came in time, or the connection failed.
	FailureLost
	// FailureCanceled says that the caller waits no longer. That says nothing about the
	// instance.
	FailureCanceled
)

// String returns the failure's name, such as "NO_RESPONDERS".
func (f Failure) String() string {
	switch f {
	case FailureNone:
		return "NONE"
	case FailureNoResponders:
		return "NO_RESPONDERS"
	case FailureStopping:
		return "STOPPING"
	case FailureOverloaded:
		return "OVERLOADED"
	case FailureLost:
		return "LOST"
	case FailureCanceled:
		return "CANCELED"
	default:
		return "UNKNOWN"
	}
}

// Outcome says how a call has ended.
type Outcome struct {
	// Latency is the time from the request to the reply, as the client saw it.
	Latency time.Duration
	// Failure says how the call has failed; FailureNone if the instance has answered.
	Failure Failure
}
