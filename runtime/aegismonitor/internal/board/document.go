package board

import (
	"time"

	"github.com/aegisrpc/aegis/internal/monitorapi"
)

// The documents are made anew at each call, and belong to the caller. May is left empty in
// their headers: it depends on who asks.

// Overview returns the overview.
func (b *Board) Overview(now time.Time) *monitorapi.Overview {
	b.mu.Lock()
	defer b.unlock()
	services := b.sorted()
	d := &monitorapi.Overview{
		Header: b.header(now), Findings: b.findingsOf(""), Services: b.rows(now, services), Leaders: b.leaderships(now),
		Queues: queuesOf(now, services), DeadLetters: letterGroups(services),
	}
	d.Totals = b.totals(now, services, d)
	return d
}

// Leaders returns all groups.
func (b *Board) Leaders(now time.Time) *monitorapi.Leaders {
	b.mu.Lock()
	defer b.unlock()
	return &monitorapi.Leaders{Header: b.header(now), Leaders: b.leaderships(now)}
}

// Work returns all durable work.
func (b *Board) Work(now time.Time) *monitorapi.Work {
	b.mu.Lock()
	defer b.unlock()
	services := b.sorted()
	return &monitorapi.Work{
		Header: b.header(now), Queues: queuesOf(now, services), Subscriptions: subscriptionsOf(now, services),
		Streams: streamsOf(services), DeadLetters: letterGroups(services),
	}
}

// Activity returns the events of the last hour.
func (b *Board) Activity(now time.Time) *monitorapi.Activity {
	b.mu.Lock()
	defer b.unlock()
	return &monitorapi.Activity{Header: b.header(now), Events: b.activity.Events(), Dropped: b.activity.Dropped(now)}
}

// Service returns the details of a service. One that is not known has Found false.
func (b *Board) Service(now time.Time, name string) *monitorapi.ServiceDetail {
	b.mu.Lock()
	defer b.unlock()
	d := &monitorapi.ServiceDetail{Header: b.header(now), Findings: b.findingsOf(name)}
	s := b.services[name]
	if s == nil || name == "" {
		d.Findings = []monitorapi.Finding{}
		d.Service = monitorapi.Service{
			Name: name, Level: monitorapi.LevelUnknown, Why: "no such service is known",
			Versions: []string{}, Leaders: []monitorapi.LeaderName{}, Hour: []*float64{},
		}
		d.Instances, d.Methods = []monitorapi.Instance{}, []monitorapi.Method{}
		d.Leaders, d.Queues = []monitorapi.Leadership{}, []monitorapi.Queue{}
		return d
	}
	d.Found = true
	d.Service = b.row(now, s, b.worst()[s.name])
	d.Instances, d.Methods = s.instances(now), b.methods(s)
	d.Leaders, d.Queues = b.leadershipsOf(now, s), queuesOf(now, []*service{s})
	if description := b.descriptions[name]; description != nil {
		d.Description = description.Text
	}
	return d
}
