package selection

import (
	"slices"
	"sync/atomic"
	"time"
)

// Info is what the registry says of an instance.
type Info struct {
	// ID names the instance within its service. One without is ignored.
	ID string
	// Process names the process behind it. A new process under a known ID is a
	// new instance: it starts without the old one's calls and reputation. Empty
	// if unknown; then a dead instance lives again only by a heartbeat.
	Process string
	// State is the state of its life. Only [StateRunning] is picked. Within one
	// known process StateStopping is final.
	State State
	// Unhealthy keeps it from being picked. The latest word counts, from here or
	// from a [Beat].
	Unhealthy bool
	// Methods are the methods that it serves, in order; nil if that is not
	// known, and then it is taken to serve all. A process keeps those that it
	// came with.
	Methods []string
	// Tag is what whoever drives the set wants to find at the instance again. A
	// process keeps the one that it came with.
	Tag any
}

// Beat is what a heartbeat says.
type Beat struct {
	// Process names the process that beats. If it is known not to be the one of
	// the record, the beat is ignored.
	Process string
	// Unhealthy keeps the instance from being picked.
	Unhealthy bool
	// Load is how busy the instance is.
	Load Load
}

// Load is how busy an instance says it is.
type Load struct {
	// InFlight is the number of its calls, of all clients, when it was asked.
	InFlight int
	// Latency is the mean latency of the calls that ended lately: since the last
	// heartbeat, or in the last seconds. A mean over a minute would hide for too
	// long that an instance has become slow. 0: there were none.
	Latency time.Duration
	// Capacity is how many calls it can run at once, which is what its load is
	// relative to. 0: unknown, taken to be like the others'.
	Capacity int
}

// Instance is one instance of a service, as one process knows it. Its identity
// never changes; the numbers are live. It is safe for concurrent use.
type Instance struct {
	id      string
	process string
	hash    uint64
	methods []string
	tag     any

	candidate   atomic.Bool
	outstanding atomic.Int64
	reported    atomic.Int64 // Load.InFlight
	included    atomic.Int64 // of those, this process's own
	latency     atomic.Int64 // Load.Latency
	capacity    atomic.Int64
	observed    latencyAverage
	since       atomic.Int64 // when it became a candidate

	// Under the lock of the set.
	state     State
	unhealthy bool
	gone      bool
	dead      bool
	deadAt    time.Duration
}

func newInstance(info Info) *Instance {
	return &Instance{id: info.ID, process: info.Process, hash: hashString(info.ID), methods: info.Methods, tag: info.Tag}
}

// ID returns the name of the instance within its service.
func (i *Instance) ID() string { return i.id }

// Process returns the name of the process behind it, "" if unknown.
func (i *Instance) Process() string { return i.process }

// Serves reports whether it has the method, as far as that is known. One of an
// older version may lack it.
func (i *Instance) Serves(method string) bool {
	if i.methods == nil {
		return true
	}
	_, ok := slices.BinarySearch(i.methods, method)
	return ok
}

// Tag returns [Info.Tag].
func (i *Instance) Tag() any { return i.tag }

// Candidate reports whether it can be picked now: it runs, is healthy and is
// not known to be dead.
func (i *Instance) Candidate() bool { return i.candidate.Load() }

// Outstanding returns the number of this process's own calls that were sent to
// it and have not ended.
func (i *Instance) Outstanding() int { return int(i.outstanding.Load()) }

// Load returns what its last heartbeat said. The zero Load before the first.
func (i *Instance) Load() Load {
	return Load{
		InFlight: int(i.reported.Load()),
		Latency:  time.Duration(i.latency.Load()),
		Capacity: int(i.capacity.Load()),
	}
}

// InFlight returns the best guess at how many calls it has now: what the last
// heartbeat said, corrected by what this process has begun and ended since.
func (i *Instance) InFlight() int {
	own := i.outstanding.Load()
	return int(max(own, i.reported.Load()-i.included.Load()+own))
}

// others returns how many calls of other processes it had at its last heartbeat.
func (i *Instance) others() int64 {
	return max(i.reported.Load()-i.included.Load(), 0)
}

// setLoad takes over what a heartbeat says.
func (i *Instance) setLoad(l Load) {
	i.reported.Store(int64(max(l.InFlight, 0)))
	i.included.Store(i.outstanding.Load())
	i.latency.Store(int64(max(l.Latency, 0)))
	i.capacity.Store(int64(max(l.Capacity, 0)))
}

// able computes what Candidate returns. The set's lock is held.
func (i *Instance) able() bool {
	return i.state == StateRunning && !i.unhealthy && !i.dead && !i.gone
}
