package selection

import (
	"slices"
	"sync/atomic"
	"time"
)

// Info describes an instance as the registry knows it.
type Info struct {
	// ID names the instance within its service. An Info without ID is ignored.
	ID string
	// Process names the process of the instance. A new process under a known ID is a new
	// instance: it starts without the calls and the reputation of the old one. Empty if
	// unknown; then only a heartbeat makes a dead instance live again.
	Process string
	// State is the stage of the instance's life. Only an instance in [StateRunning] is
	// picked. Within one known process StateStopping is final.
	State State
	// Unhealthy keeps the instance from being picked. The latest value counts, from here or
	// from a [Beat].
	Unhealthy bool
	// Methods are the methods that the instance serves, in order; nil if they are not known,
	// and then it is taken to serve all. A process keeps the methods of its first Info.
	Methods []string
	// Version, Zone, Build and Labels are what the instance says of itself; see
	// [Instance.Version], [Instance.Zone], [Instance.Build] and [Instance.Label]. A process
	// keeps those of its first Info.
	Version, Zone, Build string
	Labels               map[string]string
	// Leads names the single active groups that the instance leads. The latest value counts.
	Leads []string
	// Reserved keeps the instance from being picked by strategies that do not choose it:
	// see [Chooser]. A process keeps it.
	Reserved bool
	// Tag is a value that [Instance.Tag] returns to the driver of the set. A process keeps
	// the tag of its first Info.
	Tag any
}

// Beat has the facts of a heartbeat.
type Beat struct {
	// Process names the process that has sent the heartbeat. If it is known not to be the
	// process of the Info, the heartbeat is ignored.
	Process string
	// Unhealthy keeps the instance from being picked.
	Unhealthy bool
	// Load says how busy the instance is.
	Load Load
}

// Load says how busy an instance is, in its own words.
type Load struct {
	// InFlight is the number of calls, of all clients, that ran at the heartbeat.
	InFlight int
	// Latency is the mean latency of the calls that ended lately: since the last heartbeat,
	// or in the last seconds. A mean over a minute would hide for too long that an instance
	// has become slow. 0 if no call has ended.
	Latency time.Duration
	// Capacity is the number of calls that the instance can run at once; its load is
	// compared with that. 0 if unknown: it is taken to be like that of the others.
	Capacity int
}

// Instance is one instance of a service, as one client process knows it. Its figures
// change, and what it leads; all else never does. It is safe for concurrent use.
type Instance struct {
	id      string
	process string
	hash    uint64
	methods []string
	origin  origin
	tag     any

	candidate   atomic.Bool
	outstanding atomic.Int64
	reported    atomic.Int64 // Load.InFlight
	included    atomic.Int64 // how many calls of this process were outstanding then
	latency     atomic.Int64 // Load.Latency
	capacity    atomic.Int64
	observed    latencyAverage
	overloaded  atomic.Int64 // until when the instance counts as full, as it has refused a call
	since       atomic.Int64 // when the instance became a candidate

	// Guarded by Set.mu.
	state     State
	unhealthy bool
	gone      bool
	dead      bool
	deadAt    time.Duration
}

// origin is what an instance says of itself.
type origin struct {
	version, zone, build string
	labels               map[string]string
	reserved             bool
	leads                atomic.Pointer[[]string] // that alone changes
}

func newInstance(info Info) *Instance {
	i := &Instance{
		id: info.ID, process: info.Process, hash: hashString(info.ID), methods: info.Methods, tag: info.Tag,
		origin: origin{version: info.Version, zone: info.Zone, build: info.Build, labels: info.Labels, reserved: info.Reserved},
	}
	i.origin.leads.Store(&info.Leads)
	return i
}

// ID returns the name of the instance within its service.
func (i *Instance) ID() string { return i.id }

// Process returns the name of the instance's process, "" if unknown.
func (i *Instance) Process() string { return i.process }

// Serves reports whether the instance has the method, as far as that is known. An instance
// of an older version may lack it.
func (i *Instance) Serves(method string) bool {
	if i.methods == nil {
		return true
	}
	_, ok := slices.BinarySearch(i.methods, method)
	return ok
}

// Zone returns where the instance runs, "" if unknown.
func (i *Instance) Zone() string { return i.origin.zone }

// Version returns the version of the service that the instance serves, from the proto that
// it was built with; "" if unknown.
func (i *Instance) Version() string { return i.origin.version }

// Build returns the version of the program that the instance is, "" if unknown.
func (i *Instance) Build() string { return i.origin.build }

// Label returns the value of a label of the instance, and whether it has the label.
func (i *Instance) Label(key string) (string, bool) {
	value, ok := i.origin.labels[key]
	return value, ok
}

// Leads reports whether the instance leads a single active group of its service, as far as
// that is known: a leader that has just begun or ended may not have said so yet. The group
// of methods whose options name none is "default".
func (i *Instance) Leads(group string) bool { return slices.Contains(*i.origin.leads.Load(), group) }

// Reserved reports whether only a strategy that chooses the instance may pick it.
func (i *Instance) Reserved() bool { return i.origin.reserved }

// Tag returns [Info.Tag].
func (i *Instance) Tag() any { return i.tag }

// Candidate reports whether the instance can be picked now: it runs, is healthy and is not
// known to be dead.
func (i *Instance) Candidate() bool { return i.candidate.Load() }

// Outstanding returns the number of calls of this client process that were sent to the
// instance and have not ended.
func (i *Instance) Outstanding() int { return int(i.outstanding.Load()) }

// Load returns the load of the instance's last heartbeat, the zero Load before the first.
func (i *Instance) Load() Load {
	return Load{
		InFlight: int(i.reported.Load()),
		Latency:  time.Duration(i.latency.Load()),
		Capacity: int(i.capacity.Load()),
	}
}

// InFlight returns the best guess at how many calls the instance has now: the number of
// its last heartbeat, corrected by the calls that this client process has begun and ended
// since then.
func (i *Instance) InFlight() int {
	own := i.outstanding.Load()
	return int(max(own, i.reported.Load()-i.included.Load()+own))
}

// full reports whether the instance has as many calls as it can run, as far as that is
// known: by its last heartbeat and the calls of this client process since then, or because
// it has refused a call within the last 100 ms.
func (i *Instance) full(now time.Duration) bool {
	if now < time.Duration(i.overloaded.Load()) {
		return true
	}
	capacity := i.capacity.Load()
	return capacity > 0 && int64(i.InFlight()) >= capacity
}

// others returns how many calls of other client processes the instance had at its last
// heartbeat.
func (i *Instance) others() int64 {
	return max(i.reported.Load()-i.included.Load(), 0)
}

// setLoad takes the load of a heartbeat.
func (i *Instance) setLoad(l Load) {
	i.reported.Store(int64(max(l.InFlight, 0)))
	i.included.Store(i.outstanding.Load())
	i.latency.Store(int64(max(l.Latency, 0)))
	i.capacity.Store(int64(max(l.Capacity, 0)))
}

// able computes the result of Candidate. Set.mu is held.
func (i *Instance) able() bool {
	return i.state == StateRunning && !i.unhealthy && !i.dead && !i.gone
}
