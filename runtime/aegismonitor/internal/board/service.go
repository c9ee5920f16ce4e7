package board

import (
	"cmp"
	"maps"
	"slices"
)

// service is all that is known of one service.
type service struct {
	name    string
	fleet   fleet
	meters  meters
	groups  map[string]*group
	work    durable
	letters letters
}

// census counts what is bounded.
type census struct {
	listed    bool // instances were listed once
	instances int
	past      int
	groups    int
	methods   int
	// What is left out, as there is too much of it. Work and dead letters count it by service.
	leftInstances, leftMethods, leftGroups int
}

// service returns a service, and makes it if it is new; nil if there are too many.
func (b *Board) service(name string) *service {
	s := b.services[name]
	if s != nil {
		return s
	}
	if len(b.services) >= maxServices {
		return nil
	}
	s = &service{
		name:  name,
		fleet: fleet{present: map[instanceKey]*instance{}, past: map[instanceKey]*past{}},
		meters: meters{
			methods:  map[string]*meter{},
			counters: map[instanceKey]*counters{},
		},
		groups: map[string]*group{},
	}
	b.services[name] = s
	return s
}

// empty reports whether nothing is known of a service any more.
func (s *service) empty() bool {
	return len(s.fleet.present) == 0 && len(s.fleet.past) == 0 && len(s.meters.counters) == 0 &&
		len(s.groups) == 0 && s.work.empty() && len(s.letters.groups) == 0
}

// listed reports whether a service has a row: it has an instance, or had one within the hour.
func (s *service) listed() bool {
	return len(s.fleet.present) > 0 || len(s.fleet.past) > 0 || len(s.meters.counters) > 0
}

// sorted returns the services in order of their names.
func (b *Board) sorted() []*service { return sortedBy(b.services) }

// sortedBy returns the values of a map in the order of its keys.
func sortedBy[K cmp.Ordered, V any](m map[K]V) []V {
	list := make([]V, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		list = append(list, m[k])
	}
	return list
}

// Described takes in what the proto of a service says. It is remembered, also while there is
// no such service.
func (b *Board) Described(name string, d *Description) {
	b.mu.Lock()
	defer b.unlock()
	if d == nil || b.descriptions[name] == nil && len(b.descriptions) >= maxServices {
		return
	}
	b.descriptions[name] = &Description{Text: d.Text, Methods: slices.Clone(d.Methods[:min(len(d.Methods), maxMethods)])}
	b.changed()
}

// recount counts what is bounded anew.
func (b *Board) recount() {
	c := census{listed: b.census.listed, leftInstances: b.census.leftInstances, leftGroups: b.census.leftGroups}
	for _, s := range b.services {
		c.instances += len(s.fleet.present)
		c.past += len(s.fleet.past)
		c.groups += len(s.groups)
		c.methods += len(s.meters.methods)
	}
	b.census = c
}
