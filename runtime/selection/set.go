package selection

import (
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Defaults of [Config].
const (
	DefaultSlowStart  = 10 * time.Second
	DefaultQuarantine = 100 * time.Millisecond
)

// Config are the settings of a [Set]. The zero Config is the default.
type Config struct {
	// Now reads a monotonic clock, from any fixed point on. Default: that of this process.
	Now func() time.Duration
	// Rand returns 64 random bits. It is called concurrently. Default: that of
	// math/rand/v2, which needs no lock.
	Rand func() uint64
	// SlowStart is for how long [LeastLoaded] gives an instance that joins less than its
	// share. Default: 10 s. Negative: none.
	SlowStart time.Duration
	// Quarantine is for how long after a "no responders" heartbeats do not count as signs of
	// life, as they may have been on their way when the instance died.
	// Default: 100 ms. Negative: none.
	Quarantine time.Duration
	// Fault is called when a strategy panics. It has to be quick and safe for concurrent
	// use. Default: panics are not reported, beside the error of the call.
	Fault func(Fault)
}

func (c Config) withDefaults() Config {
	if c.Now == nil {
		start := time.Now()
		c.Now = func() time.Duration { return time.Since(start) }
	}
	if c.Rand == nil {
		c.Rand = rand.Uint64
	}
	if c.SlowStart == 0 {
		c.SlowStart = DefaultSlowStart
	}
	if c.Quarantine == 0 {
		c.Quarantine = DefaultQuarantine
	}
	if c.Fault == nil {
		c.Fault = func(Fault) {}
	}
	return c
}

// Set knows the instances of one service, as far as one client process does. It is safe
// for concurrent use.
type Set struct {
	cfg         Config
	outstanding atomic.Int64  // of all instances
	version     atomic.Uint64 // counts the changes of the candidates

	mu      sync.Mutex  // guards the rest, and the fields of instances that say so
	members []*Instance // by ID
	viewed  bool        // a list with candidates was made
	built   uint64      // the version of list
	list    []*Instance // the candidates, by ID; a list never changes once it is made
}

// NewSet returns an empty set.
func NewSet(cfg Config) *Set { return &Set{cfg: cfg.withDefaults()} }

// Put adds an instance, or changes a known one. It takes O(log n), and O(n) for an instance
// that joins.
func (s *Set) Put(info Info) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(info)
}

// Replace puts all infos as [Set.Put] does, and removes the instances that are not among
// them. It takes O(n log n).
func (s *Set) Replace(infos []Info) {
	s.mu.Lock()
	defer s.mu.Unlock()
	named := make(map[string]struct{}, len(infos))
	for _, info := range infos {
		named[info.ID] = struct{}{}
	}
	s.members = slices.DeleteFunc(s.members, func(i *Instance) bool {
		_, ok := named[i.id]
		if !ok {
			s.leave(i)
		}
		return !ok
	})
	var joined []*Instance
	for _, info := range infos {
		if _, ok := named[info.ID]; !ok || info.ID == "" {
			continue // it is there twice, or has no ID
		}
		delete(named, info.ID)
		if at, ok := find(s.members, info.ID); ok {
			s.change(at, info)
		} else {
			joined = append(joined, s.join(info))
		}
	}
	s.members = append(s.members, joined...)
	slices.SortFunc(s.members, func(a, b *Instance) int { return strings.Compare(a.id, b.id) })
}

// Remove removes an instance, if it is known. It takes O(n).
func (s *Set) Remove(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, ok := find(s.members, id)
	if !ok {
		return
	}
	s.leave(s.members[at])
	s.members = slices.Delete(s.members, at, at+1)
}

// Beat takes a heartbeat, and reports whether it is of a known instance and process. It
// takes O(log n) and allocates nothing.
func (s *Set) Beat(id string, beat Beat) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, ok := find(s.members, id)
	if !ok {
		return false
	}
	i := s.members[at]
	if beat.Process != "" && i.process != "" && beat.Process != i.process {
		return false
	}
	i.setLoad(beat.Load)
	i.unhealthy = beat.Unhealthy
	if i.dead && s.cfg.Now()-i.deadAt >= s.cfg.Quarantine {
		i.dead = false
	}
	s.judge(i)
	return true
}

// Len returns the number of known instances, candidates or not.
func (s *Set) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.members)
}

// Candidates returns the instances that can be picked now, in the order of their
// IDs. The caller must not change the slice.
func (s *Set) Candidates() []*Instance {
	list, _ := s.candidates()
	return list
}

// put is Put; s.mu is held.
func (s *Set) put(info Info) {
	if info.ID == "" {
		return
	}
	at, ok := find(s.members, info.ID)
	if ok {
		s.change(at, info)
		return
	}
	s.members = slices.Insert(s.members, at, s.join(info))
}

// join makes the instance of an Info, for the caller to add; s.mu is held.
func (s *Set) join(info Info) *Instance {
	i := newInstance(info)
	i.state, i.unhealthy = info.State, info.Unhealthy
	s.judge(i)
	return i
}

// change takes another Info of the known instance at a position; s.mu is held.
func (s *Set) change(at int, info Info) {
	i := s.members[at]
	switch {
	case info.Process != "" && i.process != "" && info.Process != i.process:
		// The calls of the old process end at the old instance, and their
		// failures say nothing about the new one.
		s.leave(i)
		s.members[at] = s.join(info)
		return
	case i.process == "" || i.state != StateStopping:
		i.state = info.State
	}
	i.unhealthy = info.Unhealthy
	i.origin.leads.Store(&info.Leads)
	s.judge(i)
}

// leave makes an instance no candidate any more, for good; s.mu is held.
func (s *Set) leave(i *Instance) {
	i.gone = true
	s.judge(i)
}

// refused notes that an instance has not taken a call.
func (s *Set) refused(i *Instance, failure Failure) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if failure == FailureNoResponders {
		i.dead, i.deadAt = true, s.cfg.Now()
	} else {
		i.state = StateStopping
	}
	s.judge(i)
}

// judge finds out whether i is a candidate; s.mu is held.
func (s *Set) judge(i *Instance) {
	able := i.able()
	if able == i.candidate.Load() {
		return
	}
	if able {
		i.since.Store(int64(s.cfg.Now()))
	}
	i.candidate.Store(able)
	s.version.Add(1)
}

// candidates returns the candidates and the version of that list.
func (s *Set) candidates() ([]*Instance, uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	version := s.version.Load()
	if s.built == version {
		return s.list, version
	}
	list := make([]*Instance, 0, len(s.members))
	for _, i := range s.members {
		if i.candidate.Load() {
			list = append(list, i)
		}
	}
	if !s.viewed && len(list) > 0 {
		s.viewed = true
		// The first candidates need no slow start: there are no others to take their share.
		for _, i := range list {
			i.since.Store(int64(s.cfg.Now() - max(s.cfg.SlowStart, 0)))
		}
	}
	s.list, s.built = list, version
	return list, version
}
