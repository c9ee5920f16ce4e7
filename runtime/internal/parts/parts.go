// Package parts knows which parts of a server do not work, and why. A part is
// something that a server does besides calls and that can fail while the others work:
// the commands of a method, the events of a subscription, the election of a group.
package parts

import (
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/aegisrpc/aegis/runtime/internal/quiet"
)

// Set is the parts of one server. Its zero value has none. It is safe for concurrent use.
type Set struct {
	mu     sync.Mutex
	broken map[string]error // why a part does not work, by its name
	shared map[string]*Part // those that several users have, by their names
}

// Part is one of them. Its problem is told once when it begins, again when it
// becomes another one or has lasted for another minute, and once when it is over.
// It is safe for concurrent use.
type Part struct {
	set    *Set
	name   string // as people read it: "the commands of order.v1.OrderService.Work"
	logger func() *slog.Logger

	mu    sync.Mutex
	since time.Time            // when it began to fail; zero: it works
	told  map[string]time.Time // what was logged since then, and when
	begun bool                 // it was not known yet whether it works
}

// New makes a part with a name as people read it. It works until something else is said.
func (s *Set) New(name string, logger func() *slog.Logger) *Part {
	return &Part{set: s, name: name, logger: logger}
}

// Shared returns the part of this name, the same one to all that ask for it.
func (s *Set) Shared(name string, logger func() *slog.Logger) *Part {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shared == nil {
		s.shared = make(map[string]*Part)
	}
	if s.shared[name] == nil {
		s.shared[name] = s.New(name, logger)
	}
	return s.shared[name]
}

// maxProblems is how many problems are told within that time: several consumers of
// one part fail each in its own words, and some words have numbers in them.
const maxProblems = 8

// errUnknown is why a part is not ready that has only begun.
var errUnknown = errors.New("it has not begun yet, as NATS has not answered so far")

// Begins says that it is not known yet whether the part works.
func (p *Part) Begins() {
	p.mu.Lock()
	p.begun = true
	p.mu.Unlock()
	p.set.set(p.name, errUnknown)
}

// Fails says that the part does not work.
func (p *Part) Fails(err error) {
	now := time.Now()
	p.mu.Lock()
	if p.since.IsZero() {
		p.since = now
	}
	fresh := p.fresh(err.Error(), now)
	p.mu.Unlock()
	if fresh {
		p.logger().Error("aegis: "+p.name+" cannot work", "err", err)
	}
	p.set.set(p.name, err) // after the line in the log, for whoever sees it here looks there
}

// fresh reports whether a problem is to be told. p.mu is held.
func (p *Part) fresh(text string, now time.Time) bool {
	maps.DeleteFunc(p.told, func(_ string, at time.Time) bool { return now.Sub(at) >= quiet.Interval })
	if _, told := p.told[text]; told || len(p.told) >= maxProblems {
		return false
	}
	if p.told == nil {
		p.told = make(map[string]time.Time)
	}
	p.told[text] = now
	return true
}

// Works says that it does.
func (p *Part) Works() {
	p.mu.Lock()
	since, begun := p.since, p.begun
	p.since, p.told, p.begun = time.Time{}, nil, false
	p.mu.Unlock()
	if !since.IsZero() {
		p.logger().Info("aegis: "+p.name+" can work again", "after", time.Since(since).Round(time.Millisecond))
	}
	if begun || !since.IsZero() {
		p.set.set(p.name, nil)
	}
}

func (s *Set) set(name string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		delete(s.broken, name)
		return
	}
	if s.broken == nil {
		s.broken = make(map[string]error)
	}
	s.broken[name] = err
}

// Err returns why a part does not work, the first by its name; nil if all do.
func (s *Set) Err() error {
	for name, err := range s.All() {
		return fmt.Errorf("aegis: %s cannot work: %w", name, err)
	}
	return nil
}

// All returns the parts that do not work, by name and in order.
func (s *Set) All() iter.Seq2[string, error] {
	s.mu.Lock()
	broken := maps.Clone(s.broken)
	s.mu.Unlock()
	return func(yield func(string, error) bool) {
		for _, name := range slices.Sorted(maps.Keys(broken)) {
			if !yield(name, broken[name]) {
				return
			}
		}
	}
}
