// Package parts knows which parts of a server do not work, and why. A part is an
// activity beside calls that can fail while the others work: the commands of a method,
// the events of a subscription, the election of a group.
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

	"github.com/aegisrpc/aegis/runtime/health"
	"github.com/aegisrpc/aegis/runtime/internal/quiet"
)

// Set has the parts of one server. Its zero value has none. It is safe for concurrent use.
type Set struct {
	mu     sync.Mutex              // guards the maps, and the values of states
	states map[string]*health.Part // of all parts, by their names
	shared map[string]*Part        // the parts that several users have, by their names
}

// Part is one part. Its problem is logged once when it begins, again when it becomes
// another problem or has lasted for another minute, and once when it is over. A Part is
// safe for concurrent use.
type Part struct {
	set    *Set
	name   string // as people read it: "the commands of order.v1.OrderService.Work"
	logger func() *slog.Logger

	mu    sync.Mutex           // guards the fields below
	since time.Time            // when the part began to fail; zero: it works
	told  map[string]time.Time // the problems that were logged since then, and when
	begun bool                 // it is not known yet whether the part works
}

// New makes a part with a name as people read it. The part works until Begins or Fails.
func (s *Set) New(name string, logger func() *slog.Logger) *Part {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.add(name, logger)
}

// add is called with s.mu held.
func (s *Set) add(name string, logger func() *slog.Logger) *Part {
	if s.states == nil {
		s.states = make(map[string]*health.Part)
	}
	if s.states[name] == nil {
		s.states[name] = &health.Part{Name: name}
	}
	return &Part{set: s, name: name, logger: logger}
}

// Shared returns the part with this name, the same one to all callers.
func (s *Set) Shared(name string, logger func() *slog.Logger) *Part {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shared == nil {
		s.shared = make(map[string]*Part)
	}
	if s.shared[name] == nil {
		s.shared[name] = s.add(name, logger)
	}
	return s.shared[name]
}

// maxProblems is how many problems of a part are logged within a minute: several
// consumers of one part may each fail with a text of its own, and some texts have numbers
// in them.
const maxProblems = 8

// errUnknown is the problem of a part of which it is not known yet whether it works.
var errUnknown = errors.New("it has not begun yet, as NATS has not answered so far")

// Begins notes that it is not known yet whether the part works.
func (p *Part) Begins() {
	p.mu.Lock()
	p.begun = true
	p.mu.Unlock()
	p.set.set(p.name, errUnknown)
}

// Fails notes that the part does not work, and logs it unless that was logged.
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
	p.set.set(p.name, err) // after the line in the log: a person who sees the problem here looks there
}

// fresh reports whether a problem has to be logged. p.mu is held.
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

// Works notes that the part works.
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

// set sets the problem of a part; nil is none. A part that has not begun yet has not failed.
func (s *Set) set(name string, err error) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	state := s.states[name]
	fails := err != nil && err != errUnknown //nolint:errorlint // only that itself
	switch {
	case fails && state.Since.IsZero():
		state.Failures++
		state.Since = now
	case !fails && !state.Since.IsZero():
		state.Broken += now.Sub(state.Since)
		state.Since = time.Time{}
	}
	state.Err = err
}

// Err returns the problem of the first part, by name, that does not work; nil if all work.
func (s *Set) Err() error {
	for name, err := range s.Broken() {
		return fmt.Errorf("aegis: %s cannot work: %w", name, err)
	}
	return nil
}

// Broken returns the names of the parts that do not work, in order, with their problems.
func (s *Set) Broken() iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for part := range s.All() {
			if part.Err != nil && !yield(part.Name, part.Err) {
				return
			}
		}
	}
}

// All returns the states of all parts, in order of their names.
func (s *Set) All() iter.Seq[health.Part] {
	now := time.Now()
	s.mu.Lock()
	list := make([]health.Part, 0, len(s.states))
	for _, name := range slices.Sorted(maps.Keys(s.states)) {
		part := *s.states[name]
		if !part.Since.IsZero() {
			part.Broken += now.Sub(part.Since)
		}
		list = append(list, part)
	}
	s.mu.Unlock()
	return slices.Values(list)
}
