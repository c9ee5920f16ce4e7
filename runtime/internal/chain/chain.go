// Package chain keeps the interceptors of a client or a server, each with the choice of the
// methods that it is for. It knows neither interceptors nor methods.
package chain

import (
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
)

// List is a list of interceptors of type I for methods of type M, the outermost first. Its
// methods do not change it, but for what Of notes, and may be called by several goroutines.
type List[I, M any] []entry[I, M]

type entry[I, M any] struct {
	interceptor I
	named       []names
	match       []func(M) bool
}

// names are full names of methods. The value is true once Of was asked for the method.
type names map[string]*atomic.Bool

// New returns a list whose interceptors are for all methods.
func New[I, M any](interceptors []I) List[I, M] {
	l := make(List[I, M], len(interceptors))
	for i, in := range interceptors {
		l[i].interceptor = in
	}
	return l
}

// Named returns the list for the methods of these full names only.
func (l List[I, M]) Named(fullNames []string) List[I, M] {
	return l.each(func(e *entry[I, M]) {
		n := make(names)
		for _, name := range fullNames {
			n[name] = new(atomic.Bool)
		}
		e.named = append(slices.Clone(e.named), n)
	})
}

// Where returns the list for the methods only for which match is true.
func (l List[I, M]) Where(match func(M) bool) List[I, M] {
	return l.each(func(e *entry[I, M]) { e.match = append(slices.Clone(e.match), match) })
}

// Fresh returns a copy of the list, of which Of has noted nothing.
func (l List[I, M]) Fresh() List[I, M] {
	return l.each(func(e *entry[I, M]) {
		e.named = slices.Clone(e.named)
		for i, n := range e.named {
			e.named[i] = make(names)
			for name := range n {
				e.named[i][name] = new(atomic.Bool)
			}
		}
	})
}

// each returns a copy of the list in which f has changed each entry.
func (l List[I, M]) each(f func(*entry[I, M])) List[I, M] {
	l = slices.Clone(l)
	for i := range l {
		f(&l[i])
	}
	return l
}

// Of returns the interceptors for a method, and notes that there is a method of this name.
func (l List[I, M]) Of(fullName string, m M) []I {
	var interceptors []I
	for _, e := range l {
		chosen := true
		for _, n := range e.named {
			if seen := n[fullName]; seen != nil {
				seen.Store(true)
			} else {
				chosen = false
			}
		}
		if chosen && !slices.ContainsFunc(e.match, func(match func(M) bool) bool { return !match(m) }) {
			interceptors = append(interceptors, e.interceptor)
		}
	}
	return interceptors
}

// Check returns an error that wraps invalid if a name was given that Of was not asked for. It
// says that of has no such method.
func (l List[I, M]) Check(invalid error, of string) error {
	for _, e := range l {
		for _, n := range e.named {
			for _, name := range slices.Sorted(maps.Keys(n)) {
				if !n[name].Load() {
					return fmt.Errorf("%w: ForMethods: %s has no method %s to intercept", invalid, of, name)
				}
			}
		}
	}
	return nil
}
