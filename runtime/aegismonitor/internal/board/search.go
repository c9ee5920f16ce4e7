package board

import (
	"cmp"
	"slices"
	"strings"

	"github.com/aegisrpc/aegis/internal/monitorapi"
	"github.com/aegisrpc/aegis/internal/wire"
)

// maxResults is how many results a search has.
const maxResults = 50

// The kinds of results, in the order in which equally good ones come.
var kinds = []string{"command", "service", "instance", "method", "group", "queue", "stream"}

// match is a result and how good it is: less is better.
type match struct {
	monitorapi.Result

	fit int
}

// finder gathers what has a text in its name.
type finder struct {
	text    string
	matches []match
}

// Search returns what has a text in its name, and instances that have it in what they say of
// themselves, without regard to case, the best matches first. A text with the form of a
// command's id may be the id of a command of each service that has a queue.
func (b *Board) Search(text string) *monitorapi.Results {
	b.mu.Lock()
	defer b.unlock()
	text = strings.TrimSpace(text)
	f := finder{text: strings.ToLower(text)}
	if f.text == "" {
		return &monitorapi.Results{Results: []monitorapi.Result{}}
	}
	findings, methods := b.worst(), b.methodLevels()
	for _, s := range b.sorted() {
		if wire.ValidCommandID(text) && len(s.work.queues) > 0 {
			f.matches = append(f.matches, match{Result: monitorapi.Result{
				Kind: "command", Service: s.name, Name: text, Level: monitorapi.LevelUnknown,
			}})
		}
		f.service(s, worse(monitorapi.LevelOK, findings[s.name].Level))
		for _, m := range b.methods(s) {
			f.look("method", s, m.Name, worse(monitorapi.LevelOK, methods[s.name+"."+m.Name]))
		}
		for _, q := range sortedBy(s.work.queues) {
			f.look("queue", s, q.counts.Method, worse(monitorapi.LevelOK, methods[s.name+"."+q.counts.Method]))
		}
	}
	return f.results()
}

// methodLevels returns the worst level of the findings of each method, by its full name.
func (b *Board) methodLevels() map[string]monitorapi.Level {
	levels := map[string]monitorapi.Level{}
	for _, f := range b.judge.shown {
		if f.Method != "" {
			name := f.Service + "." + f.Method
			levels[name] = worse(levels[name], f.Level)
		}
	}
	return levels
}

// service looks at the names of a service, but those of its methods.
func (f *finder) service(s *service, level monitorapi.Level) {
	if s.listed() {
		f.look("service", s, s.name, level)
	}
	for _, i := range s.fleet.ordered(all) {
		f.instance(s, i)
	}
	for _, g := range sortedBy(s.groups) {
		f.look("group", s, g.name, g.level())
	}
	for i := range s.work.streams {
		f.look("stream", s, s.work.streams[i].Name, levelOf(streamFindings(s, &s.work.streams[i])))
	}
}

func (f *finder) look(kind string, s *service, name string, level monitorapi.Level) {
	if fit, ok := fits(strings.ToLower(name), f.text); ok {
		f.add(fit, monitorapi.Result{Kind: kind, Service: s.name, Name: name, Level: level})
	}
}

func (f *finder) add(fit int, r monitorapi.Result) {
	f.matches = append(f.matches, match{fit: fit, Result: r})
}

// saidFit is how well an instance fits that has the text in what it says of itself: worse
// than any name.
const saidFit = 4

// instance looks at the name of an instance, and at what it says of itself: its zone, node,
// build and labels.
func (f *finder) instance(s *service, i *instance) {
	r := monitorapi.Result{Kind: "instance", Service: s.name, Name: i.facts.Name, Instance: i.facts.Name, Level: i.level}
	if fit, ok := fits(strings.ToLower(i.facts.Name), f.text); ok {
		f.add(fit, r)
		return
	}
	has := func(text string) bool { return strings.Contains(strings.ToLower(text), f.text) }
	found := has(i.facts.Zone) || has(i.facts.Node) || has(i.facts.Build)
	for key, value := range i.facts.Labels {
		found = found || has(key+"="+value)
	}
	if found {
		f.add(saidFit, r)
	}
}

// fits reports whether a text is in a name, and how well: 0 for the name itself or its last
// part, 1 for the beginning of the last part, 2 for the beginning of any part, else 3.
func fits(name, text string) (int, bool) {
	last := name[strings.LastIndexByte(name, '.')+1:]
	switch at := strings.Index(name, text); {
	case at < 0:
		return 0, false
	case name == text || last == text:
		return 0, true
	case strings.HasPrefix(last, text):
		return 1, true
	case at == 0 || strings.ContainsRune(".-_", rune(name[at-1])):
		return 2, true
	default:
		return 3, true
	}
}

func (f *finder) results() *monitorapi.Results {
	slices.SortStableFunc(f.matches, func(a, b match) int {
		return cmp.Or(cmp.Compare(a.fit, b.fit), cmp.Compare(slices.Index(kinds, a.Kind), slices.Index(kinds, b.Kind)),
			cmp.Compare(a.Name, b.Name), cmp.Compare(a.Service, b.Service))
	})
	r := &monitorapi.Results{Results: []monitorapi.Result{}, More: len(f.matches) > maxResults}
	for _, m := range f.matches[:min(len(f.matches), maxResults)] {
		r.Results = append(r.Results, m.Result)
	}
	return r
}

// level returns how bad it is how a group is led.
func (g *group) level() monitorapi.Level {
	if g.state() == monitorapi.LeaderLeads {
		return monitorapi.LevelOK
	}
	return monitorapi.LevelAttention
}
