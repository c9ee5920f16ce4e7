package board

import (
	"cmp"
	"slices"
	"time"

	"github.com/aegisrpc/aegis/internal/monitorapi"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/figures"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/reigns"
	"github.com/aegisrpc/aegis/runtime/health"
)

// settled is how long a change of the list of instances waits for the change that says
// what it was: joined, left or expired.
const settled = 2 * time.Second

// fleet is the instances of a service.
type fleet struct {
	present map[instanceKey]*instance
	past    map[instanceKey]*past // of the last hour
}

// instanceKey names an instance of a service. A subscriber may have the name of a server.
type instanceKey struct {
	name       string
	subscriber bool
}

// instance is an instance that is there.
type instance struct {
	condition

	facts  aegis.Instance
	report *health.Report // of its last heartbeat; nil if none was heard
	heard  time.Time      // when that came; zero for never
	since  time.Time      // when the board first knew of it
	hour   *figures.Light
	told   bool // the activity has that it joined, or it was there before
}

// past is an instance that is gone.
type past struct {
	instance *instance
	at       time.Time
	expired  bool // it was lost, and has not stopped by itself
	told     bool // the activity has it
}

func keyOf(i *aegis.Instance) instanceKey { return instanceKey{i.Name, i.Subscriber} }

// ordered returns the instances that are there and that a test picks, in order of their
// names.
func (f *fleet) ordered(picks func(*instance) bool) []*instance {
	var list []*instance
	for _, i := range f.present {
		if picks(i) {
			list = append(list, i)
		}
	}
	slices.SortFunc(list, byName)
	return list
}

func byName(a, b *instance) int {
	x, y := keyOf(&a.facts), keyOf(&b.facts)
	switch {
	case x == y:
		return 0
	case x.name == y.name && y.subscriber:
		return -1
	case x.name == y.name:
		return 1
	default:
		return cmp.Compare(x.name, y.name)
	}
}

func all(*instance) bool { return true }

// gone returns the instances that are gone and that a test picks, in order of their names.
func (f *fleet) gone(picks func(*past) bool) []*past {
	var list []*past
	for _, p := range f.past {
		if picks(p) {
			list = append(list, p)
		}
	}
	slices.SortFunc(list, func(a, b *past) int { return byName(a.instance, b.instance) })
	return list
}

// InstanceChanged takes in one step of an instance.
func (b *Board) InstanceChanged(now time.Time, change aegis.InstanceChange) {
	b.mu.Lock()
	defer b.unlockJudged(now)
	s := b.service(change.Instance.Service)
	if s == nil {
		return
	}
	switch change.Kind {
	case aegis.InstanceLeft, aegis.InstanceExpired:
		b.gone(now, s, &change.Instance, change.Kind == aegis.InstanceExpired)
		return
	case aegis.InstanceStoppedLeading:
		b.doubt(s, change.Term)
	default:
	}
	i := b.join(now, s, &change.Instance)
	if i == nil {
		return
	}
	if !i.told && change.Kind == aegis.InstanceJoined {
		b.tellJoined(now, i)
	}
	i.told = true
	if change.Kind == aegis.InstanceLeads {
		b.ledBy(now, s, &change.Instance, change.Term)
	}
	if change.Kind == aegis.InstanceStateChanged {
		b.tell(now, monitorapi.Event{
			Kind: monitorapi.EventState, Level: monitorapi.LevelOK, Service: s.name, Instance: i.facts.Name,
			Text: i.facts.Name + " is " + i.facts.State.String() + ", it was " + change.Previous.String(),
		})
	}
	b.changed()
}

// Instances takes in all instances of now, with the reports of their last heartbeats.
func (b *Board) Instances(now time.Time, list []aegis.Instance) {
	reports := decode(list)
	b.mu.Lock()
	defer b.unlockJudged(now)
	b.census.leftInstances = 0
	listed := make(map[*instance]bool, len(list))
	for k := range list {
		s := b.service(list[k].Service)
		if s == nil {
			b.census.leftInstances++
			continue
		}
		i := b.join(now, s, &list[k])
		if i == nil {
			b.census.leftInstances++
			continue
		}
		listed[i] = true
		i.report = reports[k]
		i.heard = list[k].Heard
		i.assess()
		for _, term := range list[k].Leading {
			b.ledBy(now, s, &list[k], term)
		}
	}
	b.keepOnly(now, listed)
	b.census.listed = true
	b.changed()
}

// decode reads the reports without the lock: of thousands it takes some milliseconds.
func decode(list []aegis.Instance) []*health.Report {
	reports := make([]*health.Report, len(list))
	for i := range list {
		if r, ok := list[i].Health(); ok {
			reports[i] = &r
		}
	}
	return reports
}

// join returns the entry of an instance with the facts of now; nil if there are too many.
func (b *Board) join(now time.Time, s *service, facts *aegis.Instance) *instance {
	key := keyOf(facts)
	i := s.fleet.present[key]
	if i == nil {
		if b.census.instances >= maxInstances {
			return nil
		}
		i = &instance{since: now, told: !b.census.listed, hour: &figures.Light{}}
		if p := s.fleet.past[key]; p != nil {
			i.hour = p.instance.hour
			i.told = i.told || !p.told && p.instance.facts.Process == facts.Process // a list was too old
			b.forgetOne(s, key)
		}
		s.fleet.present[key] = i
		b.census.instances++
	}
	if i.facts.Process != facts.Process && i.facts.Process != "" {
		i.report, i.heard, i.since, i.told = nil, time.Time{}, now, false
		delete(s.meters.counters, key)
	}
	i.facts = *facts
	i.facts.Leading = nil
	i.assess()
	return i
}

// keepOnly removes the instances that a list of all does not have.
func (b *Board) keepOnly(now time.Time, listed map[*instance]bool) {
	for _, s := range b.services {
		for key, i := range s.fleet.present {
			if !listed[i] {
				b.moveToPast(s, key, &past{at: now})
			}
		}
	}
}

// gone takes in that an instance has left or expired.
func (b *Board) gone(now time.Time, s *service, facts *aegis.Instance, expired bool) {
	key := keyOf(facts)
	p := s.fleet.past[key]
	if i := s.fleet.present[key]; i != nil {
		if i.facts.Process != facts.Process {
			return // another process has its name already
		}
		p = &past{at: now}
		b.moveToPast(s, key, p)
	}
	if p == nil || p.told {
		return
	}
	p.expired = expired
	b.tellGone(now, s, p)
	if expired {
		b.expired(now, facts.Process)
	}
}

// moveToPast moves an instance from those that are there.
func (b *Board) moveToPast(s *service, key instanceKey, p *past) {
	p.instance = s.fleet.present[key]
	delete(s.fleet.present, key)
	delete(s.meters.counters, key)
	b.census.instances--
	if b.census.past >= maxPast {
		b.forgetEldest()
	}
	if s.fleet.past[key] == nil {
		b.census.past++
	}
	s.fleet.past[key] = p
	b.changed()
}

// forgetEldest forgets the eldest quarter of the instances that are gone.
func (b *Board) forgetEldest() {
	var list []*past
	for _, s := range b.services {
		list = append(list, s.fleet.gone(func(*past) bool { return true })...)
	}
	slices.SortStableFunc(list, func(a, b *past) int { return a.at.Compare(b.at) })
	for _, p := range list[:len(list)/4] {
		b.forgetOne(b.services[p.instance.facts.Service], keyOf(&p.instance.facts))
	}
}

func (b *Board) forgetOne(s *service, key instanceKey) {
	if s.fleet.past[key] != nil {
		delete(s.fleet.past, key)
		b.census.past--
	}
}

// settleInstances tells of changes that only the list of instances has shown.
func (b *Board) settleInstances(now time.Time) {
	for _, s := range b.sorted() {
		for _, i := range s.fleet.ordered(func(i *instance) bool { return !i.told && now.Sub(i.since) >= settled }) {
			b.tellJoined(now, i)
		}
		for _, p := range s.fleet.gone(func(p *past) bool { return !p.told && now.Sub(p.at) >= settled }) {
			b.tellGone(now, s, p)
		}
		for _, p := range s.fleet.gone(func(p *past) bool { return now.Sub(p.at) > hour }) {
			b.forgetOne(s, keyOf(&p.instance.facts))
		}
	}
}

func (b *Board) tellJoined(now time.Time, i *instance) {
	i.told = true
	text := i.facts.Name + " has joined"
	if i.facts.Version != "" {
		text += ", version " + i.facts.Version
	}
	if i.facts.Reserved {
		text += ", reserved for calls that choose it"
	}
	b.tell(now, monitorapi.Event{
		Kind: monitorapi.EventJoined, Level: monitorapi.LevelOK, Service: i.facts.Service, Instance: i.facts.Name, Text: text,
	})
}

func (b *Board) tellGone(now time.Time, s *service, p *past) {
	p.told = true
	name := p.instance.facts.Name
	e := monitorapi.Event{
		Kind: monitorapi.EventLeft, Level: monitorapi.LevelOK, Service: s.name, Instance: name, Text: name + " has stopped",
	}
	if p.expired {
		e.Kind, e.Level, e.Text = monitorapi.EventExpired, monitorapi.LevelAttention, name+" is lost: its heartbeats do not come any more"
	}
	b.tell(now, e)
}

// processOf returns the process of an instance that is there; "" if it is not known.
func (s *service) processOf(name string) string {
	if i := s.fleet.present[instanceKey{name: name}]; i != nil {
		return i.facts.Process
	}
	return ""
}

// ledBy takes in a term that the registry knows of. Only a later term than the known one is
// news: a leader that was killed is in the registry for some seconds more.
func (b *Board) ledBy(now time.Time, s *service, i *aegis.Instance, term aegis.Term) {
	g := b.group(s, term.Group)
	if g == nil {
		return
	}
	l := reigns.Leader{Instance: i.Name, Process: i.Process, Term: term.Token}
	if last, led := g.history.Leader(); led && (last.Term > l.Term || last.Term == l.Term && last.Process != "") {
		return
	}
	b.lead(now, g, l, term.Since)
}
