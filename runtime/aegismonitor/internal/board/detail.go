package board

import (
	"maps"
	"time"

	"github.com/aegisrpc/aegis/internal/monitorapi"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/health"
)

// instances returns the documents of the instances of a service, in order of their names.
func (s *service) instances(now time.Time) []monitorapi.Instance {
	leads := map[string][]string{}
	for _, g := range sortedBy(s.groups) {
		if name := g.leader(); name != "" {
			leads[name] = append(leads[name], g.name)
		}
	}
	list := []monitorapi.Instance{}
	for _, i := range s.fleet.ordered(all) {
		d := i.document()
		d.Figures = s.figuresOf(now, keyOf(&i.facts), i)
		if !i.facts.Subscriber {
			d.Leads = append(d.Leads, leads[i.facts.Name]...)
		}
		list = append(list, d)
	}
	return list
}

func (i *instance) document() monitorapi.Instance {
	d := monitorapi.Instance{
		Service: i.facts.Service, Name: i.facts.Name, Process: i.facts.Process, Version: i.facts.Version,
		State: i.facts.State.String(), Level: i.level, Started: instant(i.facts.Started), Heard: moment(i.heard),
		Subscriber: i.facts.Subscriber, Why: i.why, Unhealthy: i.ails == unhealthy,
		Refused: map[string]uint64{}, Leads: []string{},
		Origin: monitorapi.Origin{
			Zone: i.facts.Zone, Node: i.facts.Node, Build: i.facts.Build, Labels: map[string]string{}, Reserved: i.facts.Reserved,
		},
	}
	maps.Copy(d.Labels, i.facts.Labels)
	r := i.report
	if r == nil {
		return d
	}
	d.Score = known(r.Score)
	if gradeRank(string(r.Grade)) > 0 {
		d.Grade = string(r.Grade)
	}
	if r.Usage.CPUPercent != nil {
		d.CPUPercent = known(*r.Usage.CPUPercent)
	}
	if r.Usage.MemoryBytes > 0 {
		memory := r.Usage.MemoryBytes
		d.MemoryBytes = &memory
	}
	maps.Copy(d.Refused, r.Refused)
	return d
}

// methods returns the documents of the methods of a service, in order of their names: those
// of its proto, and those that instances count.
func (b *Board) methods(s *service) []monitorapi.Method {
	methods := map[string]*monitorapi.Method{}
	method := func(name string) *monitorapi.Method {
		if methods[name] == nil {
			methods[name] = &monitorapi.Method{Name: name, Codes: map[string]uint64{}}
		}
		return methods[name]
	}
	if description := b.descriptions[s.name]; description != nil {
		for _, d := range description.Methods {
			m := method(d.Name)
			m.Pattern, m.Group, m.Description = d.Pattern, d.Group, d.Text
		}
	}
	for name, x := range s.meters.methods {
		m := method(name)
		m.Figures, m.Instances, m.Codes = copied(x.figures), x.tally.instances, codes(x.tally.codes)
	}
	list := []monitorapi.Method{}
	for _, m := range sortedBy(methods) {
		list = append(list, *m)
	}
	return list
}

// codes returns numbers of errors by the names of their codes.
func codes(numbers map[health.Code]uint64) map[string]uint64 {
	named := make(map[string]uint64, len(numbers))
	for code, n := range numbers {
		named[aegis.Code(code).String()] += n
	}
	return named
}
