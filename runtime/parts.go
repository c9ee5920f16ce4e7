package aegis

import (
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"
)

// parts are what a server does besides calls, each of which can fail while the
// others work: the commands of a method, the events of a subscription, the
// election of a group.
type parts struct {
	mu     sync.Mutex
	broken map[string]error // why a part does not work, by its name
	shared map[string]*part // those that several users have, by their names
}

// part is one of them. Its problem is told once when it begins, again when it
// becomes another one or has lasted for another minute, and once when it is over.
type part struct {
	of     *parts
	name   string // as people read it: "the commands of order.v1.OrderService.Work"
	logger func() *slog.Logger

	mu    sync.Mutex
	since time.Time            // when it began to fail; zero: it works
	told  map[string]time.Time // what was logged since then, and when
	begun bool                 // it was not known yet whether it works
}

// sameProblem is how long a problem that lasts is not told again.
const sameProblem = time.Minute

// maxProblems is how many problems are told within that time: several consumers of
// one part fail each in its own words, and some words have numbers in them.
const maxProblems = 8

// errUnknown is why a part is not ready that has only begun.
var errUnknown = errors.New("it has not begun yet, as NATS has not answered so far")

// begins says that it is not known yet whether the part works.
func (p *part) begins() {
	p.mu.Lock()
	p.begun = true
	p.mu.Unlock()
	p.of.set(p.name, errUnknown)
}

// fails says that the part does not work.
func (p *part) fails(err error) {
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
	p.of.set(p.name, err) // who sees it finds it in the log
}

// fresh reports whether a problem is to be told. p.mu is held.
func (p *part) fresh(text string, now time.Time) bool {
	maps.DeleteFunc(p.told, func(_ string, at time.Time) bool { return now.Sub(at) >= sameProblem })
	if _, told := p.told[text]; told || len(p.told) >= maxProblems {
		return false
	}
	if p.told == nil {
		p.told = make(map[string]time.Time)
	}
	p.told[text] = now
	return true
}

// works says that it does.
func (p *part) works() {
	p.mu.Lock()
	since, begun := p.since, p.begun
	p.since, p.told, p.begun = time.Time{}, nil, false
	p.mu.Unlock()
	if !since.IsZero() {
		p.logger().Info("aegis: "+p.name+" can work again", "after", time.Since(since).Round(time.Millisecond))
	}
	if begun || !since.IsZero() {
		p.of.set(p.name, nil)
	}
}

// named returns the part of this name, the same one to all who ask for it.
func (p *parts) named(name string, logger func() *slog.Logger) *part {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shared == nil {
		p.shared = make(map[string]*part)
	}
	if p.shared[name] == nil {
		p.shared[name] = &part{of: p, name: name, logger: logger}
	}
	return p.shared[name]
}

func (p *parts) set(name string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil {
		delete(p.broken, name)
		return
	}
	if p.broken == nil {
		p.broken = make(map[string]error)
	}
	p.broken[name] = err
}

// err returns why a part does not work, the first by its name; nil if all do.
func (p *parts) err() error {
	for name, err := range p.all() {
		return fmt.Errorf("aegis: %s cannot work: %w", name, err)
	}
	return nil
}

// all returns what does not work, by name and in order.
func (p *parts) all() iter.Seq2[string, error] {
	p.mu.Lock()
	broken := maps.Clone(p.broken)
	p.mu.Unlock()
	return func(yield func(string, error) bool) {
		for _, name := range slices.Sorted(maps.Keys(broken)) {
			if !yield(name, broken[name]) {
				return
			}
		}
	}
}
