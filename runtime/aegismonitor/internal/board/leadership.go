package board

import (
	"slices"
	"strings"
	"time"

	"github.com/aegisrpc/aegis/internal/monitorapi"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/reigns"
)

// state returns how a leadership is, as documents say it.
func (g *group) state() monitorapi.LeaderState {
	switch state, _ := g.history.State(); state {
	case reigns.Leads:
		return monitorapi.LeaderLeads
	case reigns.Silent:
		return monitorapi.LeaderSilent
	case reigns.Gone:
		return monitorapi.LeaderGone
	case reigns.None:
	}
	return monitorapi.LeaderNone
}

// since returns when the state of a leadership began.
func (g *group) since() time.Time {
	if _, since := g.history.State(); !since.IsZero() {
		return since
	}
	return g.known
}

// leader returns the name of the instance that leads; "" if none does.
func (g *group) leader() string {
	if !g.leads() {
		return ""
	}
	l, _ := g.history.Leader()
	return l.Instance
}

// strip returns the beginning of the time that is shown of the leaders.
func (b *Board) strip(now time.Time) time.Time {
	return earlier(latest(now.Add(-hour), b.started), now)
}

// leadership returns the document of a group.
func (b *Board) leadership(now time.Time, g *group) monitorapi.Leadership {
	from := b.strip(now)
	d := monitorapi.Leadership{
		Service: g.service, Group: g.name, State: g.state(), StateSince: g.since(),
		Candidates: []monitorapi.Candidate{}, From: from, To: now,
		Reigns: g.reignsSince(from), Gaps: g.gapsSince(from, now),
	}
	if g.leads() {
		l, _ := g.history.Leader()
		d.Instance, d.Process, d.Term = l.Instance, l.Process, l.Term
		d.Since = &d.Reigns[len(d.Reigns)-1].From
		since := *d.Since
		d.Since = &since
	}
	if g.lease > 0 {
		lease := g.lease.Milliseconds()
		d.LeaseMs = &lease
	}
	for _, c := range g.candidates {
		d.Candidates = append(d.Candidates, monitorapi.Candidate{Instance: c.Instance, Leads: c.Instance == d.Instance, Stands: c.Stands})
	}
	slices.SortStableFunc(d.Candidates, func(a, b monitorapi.Candidate) int { return strings.Compare(a.Instance, b.Instance) })
	for _, gap := range d.Gaps {
		d.LeaderlessSeconds += gap.Seconds
	}
	return d
}

// reignsSince returns the reigns that were not over at a time.
func (g *group) reignsSince(from time.Time) []monitorapi.Reign {
	list := []monitorapi.Reign{}
	for _, r := range g.history.Reigns() {
		if !r.To.IsZero() && r.To.Before(from) {
			continue
		}
		one := monitorapi.Reign{Instance: r.Instance, Term: r.Term, From: r.From, To: moment(r.To)}
		if r.Term == g.firstTerm && !g.begun.IsZero() && g.begun.Before(r.From) {
			one.From = instant(g.begun)
		}
		list = append(list, one)
	}
	return list
}

// gapsSince returns the gaps, as far as they are after a time.
func (g *group) gapsSince(from, now time.Time) []monitorapi.Gap {
	list := []monitorapi.Gap{}
	for _, gap := range g.history.Gaps() {
		if !gap.To.IsZero() && !gap.To.After(from) {
			continue
		}
		gap.From = latest(gap.From, from)
		list = append(list, monitorapi.Gap{
			From: gap.From, To: moment(gap.To), Seconds: gap.Length(now).Seconds(),
			Cause: causes[gap.Cause], Before: gap.Before, After: gap.After, Exact: gap.Exact,
		})
	}
	return list
}

var causes = map[reigns.Cause]string{
	reigns.Unknown: "unknown", reigns.Stopped: "stopped", reigns.Lost: "lost", reigns.Unanswering: "silent",
}

// leadershipsOf returns the documents of the groups of a service, in order of their names.
func (b *Board) leadershipsOf(now time.Time, s *service) []monitorapi.Leadership {
	list := []monitorapi.Leadership{}
	for _, g := range sortedBy(s.groups) {
		list = append(list, b.leadership(now, g))
	}
	return list
}

func (b *Board) leaderships(now time.Time) []monitorapi.Leadership {
	list := []monitorapi.Leadership{}
	for _, s := range b.sorted() {
		list = append(list, b.leadershipsOf(now, s)...)
	}
	return list
}
