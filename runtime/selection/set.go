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
	// Now reads a monotonic clock, from any fixed point on. Default: the
	// process's own.
	Now func() time.Duration
	// Rand returns 64 random bits; it is called concurrently. Default:
	// math/rand/v2, which needs no lock.
	Rand func() uint64
	// SlowStart is how long an instance that joins is given less than its share
	// by [LeastLoaded]. Default: 10 s. Negative: none.
	SlowStart time.Duration
	// Quarantine is how long after a "no responders" heartbeats do not count as
	// signs of life, as they may have been on their way when the instance died.
	// Default: 100 ms. Negative: none.
	Quarantine time.Duration
	// Fault is told when a strategy panics. It has to be quick and safe for
	// concurrent use. Default: nobody is told.
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

// Set is what a process knows of the instances of one service. It is safe for
// concurrent use.
type Set struct {
	cfg         Config
	outstanding atomic.Int64
	// version changes with the candidates.
	version atomic.Uint64

	mu      sync.Mutex
	members []*Instance // by ID
	viewed  bool        // somebody has seen candidates
	built   uint64      // the version of list
	list    []*Instance // the candidates, by ID; never changed once it is made
}

// NewSet returns an empty set.
func NewSet(cfg Config) *Set { return &Set{cfg: cfg.withDefaults()} }

// Put adds an instance or changes what is known of it. It takes O(log n), and
// O(n) for one that joins.
func (s *Set) Put(info Info) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(info)
}

// Replace makes the set what infos say: those that are not among them are
// removed, all others as with [Set.Put]. It takes O(n log n).
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
			continue // twice in infos
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

// Remove takes an instance out. It takes O(n). One that is not known is ignored.
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

// Beat takes in a heartbeat, and reports whether it is of a known instance and
// process. It takes O(log n) and allocates nothing.
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

// Len returns how many instances are known, candidates or not.
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

func (s *Set) join(info Info) *Instance {
	i := newInstance(info)
	i.state, i.unhealthy = info.State, info.Unhealthy
	s.judge(i)
	return i
}

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
	s.judge(i)
}

func (s *Set) leave(i *Instance) {
	i.gone = true
	s.judge(i)
}

// refused takes in that an instance does not take calls any more.
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

// judge decides whether i is a candidate.
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
		// Those that were there first have not joined: nobody was before them.
		for _, i := range list {
			i.since.Store(int64(s.cfg.Now() - max(s.cfg.SlowStart, 0)))
		}
	}
	s.list, s.built = list, version
	return list, version
}
