package board

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/aegisrpc/aegis/internal/monitorapi"
	"github.com/aegisrpc/aegis/runtime/aegisadmin"
)

// letters are the dead letters of a service.
type letters struct {
	groups []aegisadmin.LetterGroup
	read   bool // they were read once
	left   int  // groups that there was no room for
}

// DeadLetters takes in the groups of dead letters of a service.
func (b *Board) DeadLetters(now time.Time, service string, groups []aegisadmin.LetterGroup) {
	b.mu.Lock()
	defer b.unlock()
	s := b.services[service]
	if s == nil && len(groups) == 0 {
		return
	}
	if s == nil {
		if s = b.service(service); s == nil {
			return
		}
	}
	room := maxLetters
	for _, other := range b.services {
		if other != s {
			room -= len(other.letters.groups)
		}
	}
	before := s.letters
	s.letters = letters{read: true}
	s.letters.groups = fitting(groups, room, &s.letters.left)
	b.changed()
	if before.read || b.sources.named(monitorapi.SourceDeadLetters).At != nil {
		b.tellLetters(now, s, before.groups)
	}
}

// tellLetters tells of each method that has more dead letters than before.
func (b *Board) tellLetters(now time.Time, s *service, before []aegisadmin.LetterGroup) {
	for _, m := range byMethod(s.letters.groups) {
		had := 0
		for _, g := range before {
			if g.Method == m.method {
				had += g.Count
			}
		}
		if m.count > had {
			b.tell(now, monitorapi.Event{
				Kind: monitorapi.EventDeadLetters, Level: monitorapi.LevelAttention, Service: s.name, Method: m.method,
				Text: fmt.Sprintf("%s of %s: %s", many(m.count-had, "more dead letter"), s.label(m.method), m.last.Example),
			})
		}
	}
}

// methodLetters are the dead letters of a method.
type methodLetters struct {
	method string
	count  int
	first  time.Time
	last   aegisadmin.LetterGroup // the group with the latest letter
}

// byMethod adds groups up by method, in order of the names.
func byMethod(groups []aegisadmin.LetterGroup) []methodLetters {
	methods := map[string]*methodLetters{}
	for _, g := range groups {
		m := methods[g.Method]
		if m == nil {
			m = &methodLetters{method: g.Method, first: g.First, last: g}
			methods[g.Method] = m
		}
		m.count += g.Count
		m.first = earlier(m.first, g.First)
		if g.Last.After(m.last.Last) {
			m.last = g
		}
	}
	list := make([]methodLetters, 0, len(methods))
	for _, m := range sortedBy(methods) {
		list = append(list, *m)
	}
	return list
}

// letterGroups returns the documents of the dead letters of some services, the greatest
// groups first.
func letterGroups(services []*service) []monitorapi.LetterGroup {
	list := []monitorapi.LetterGroup{}
	for _, s := range services {
		for _, g := range s.letters.groups {
			list = append(list, monitorapi.LetterGroup{
				Service: s.name, Method: g.Method, Consumer: g.Consumer, Reason: g.Reason, Example: g.Example,
				Count: max(g.Count, 0), First: instant(g.First), Last: instant(g.Last), UpTo: g.LastSequence,
			})
		}
	}
	slices.SortStableFunc(list, func(a, b monitorapi.LetterGroup) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Service, b.Service), cmp.Compare(a.Method, b.Method),
			cmp.Compare(a.Consumer, b.Consumer), cmp.Compare(a.Reason, b.Reason))
	})
	return list
}
