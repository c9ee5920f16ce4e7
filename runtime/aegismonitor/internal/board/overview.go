package board

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/aegisrpc/aegis/internal/monitorapi"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/figures"
	"github.com/aegisrpc/aegis/runtime/health"
)

// worst returns the worst finding of each service.
func (b *Board) worst() map[string]monitorapi.Finding {
	worst := map[string]monitorapi.Finding{}
	for _, f := range b.judge.shown {
		if known, ok := worst[f.Service]; !ok || rank(f.Level) > rank(known.Level) {
			worst[f.Service] = f
		}
	}
	return worst
}

// rows returns the services that have an instance, or had one within the hour, the worst
// first.
func (b *Board) rows(now time.Time, services []*service) []monitorapi.Service {
	list := []monitorapi.Service{}
	worst := b.worst()
	for _, s := range services {
		if s.listed() {
			list = append(list, b.row(now, s, worst[s.name]))
		}
	}
	slices.SortStableFunc(list, func(a, b monitorapi.Service) int { return cmp.Compare(rank(b.Level), rank(a.Level)) })
	return list
}

// row returns the row of a service, which is at least as bad as its worst finding.
func (b *Board) row(now time.Time, s *service, finding monitorapi.Finding) monitorapi.Service {
	d := monitorapi.Service{
		Name: s.name, Level: monitorapi.LevelOK, Figures: copied(s.meters.total.figures),
		Running: s.running(), Reserved: s.reserved(), Versions: []string{}, Leaders: []monitorapi.LeaderName{}, Hour: s.meters.total.series.Hour(now),
	}
	servers := s.servers()
	d.Instances = len(servers)
	heard, ill := 0, 0
	for _, i := range servers {
		d.Versions = append(d.Versions, i.facts.Version)
		if i.report != nil {
			heard++
			worst(&d, i.report)
		}
		if i.ails != well {
			ill++
		}
		if i.ails == unhealthy {
			d.Unhealthy++
		}
	}
	slices.Sort(d.Versions)
	d.Versions = slices.Compact(d.Versions)
	for _, g := range sortedBy(s.groups) {
		d.Leaders = append(d.Leaders, monitorapi.LeaderName{Group: g.name, Instance: g.leader(), State: g.state()})
	}
	if heard == 0 {
		d.Level = monitorapi.LevelUnknown
	}
	d.Level = worse(d.Level, finding.Level)
	d.Why = s.why(&d, ill)
	if ill == 0 && d.Running > 0 && d.Running == d.Instances && rank(finding.Level) > rank(monitorapi.LevelOK) {
		d.Why = finding.What // it is not the instances
	}
	return d
}

// reserved counts the instances that take only calls that choose them.
func (s *service) reserved() (n int) {
	for _, i := range s.fleet.present {
		if i.facts.Reserved {
			n++
		}
	}
	return n
}

// why says in words how a service is.
func (s *service) why(d *monitorapi.Service, ill int) string {
	switch {
	case d.Instances == 0 && d.Reserved > 0:
		return many(d.Reserved, "reserved instance") + " only"
	case d.Instances == 0 && len(s.fleet.present) > 0:
		return many(len(s.fleet.present), "subscriber") + " only"
	case d.Instances == 0 && len(s.meters.counters) > 0:
		return "its instances cannot be seen"
	case d.Running == 0:
		return "none running"
	case ill > 0:
		return fmt.Sprintf("%d of %d well", d.Instances-ill, d.Instances)
	case d.Running < d.Instances:
		return fmt.Sprintf("%d of %d running", d.Running, d.Instances)
	default:
		return fmt.Sprintf("%d running", d.Running)
	}
}

// worst makes grade and score of a service those of an instance, if they are worse.
func worst(d *monitorapi.Service, r *health.Report) {
	if gradeRank(string(r.Grade)) > gradeRank(d.Grade) {
		d.Grade = string(r.Grade)
	}
	if score := known(r.Score); score != nil && (d.Score == nil || *score < *d.Score) {
		d.Score = score
	}
}

// gradeRank orders the grades from the best to the worst. Instances may say anything: what
// is no grade is 0.
func gradeRank(grade string) int {
	return slices.Index([]string{"A+", "A", "B", "C", "D"}, grade) + 1
}

// totals adds all services up.
func (b *Board) totals(now time.Time, services []*service, d *monitorapi.Overview) monitorapi.Totals {
	t := monitorapi.Totals{Services: len(d.Services), WatchedSince: b.started}
	for i := range d.Services {
		t.Instances += d.Services[i].Instances
	}
	for i := range d.Leaders {
		l := &d.Leaders[i]
		if l.Instance != "" {
			t.Leaders++
		}
		t.LeaderlessSeconds += l.LeaderlessSeconds
		t.Gaps += len(l.Gaps)
	}
	t.Figures = totalFigures(now, services)
	if b.sources.named(monitorapi.SourceDeadLetters).At != nil {
		n := 0
		for i := range d.DeadLetters {
			n += d.DeadLetters[i].Count
		}
		t.DeadLetters = &n
	}
	return t
}

// totalFigures are the figures of all services together.
func totalFigures(now time.Time, services []*service) monitorapi.Figures {
	var f monitorapi.Figures
	var sum figures.Sum
	var perSecond float64
	var inFlight int64
	for _, s := range services {
		m := &s.meters.total
		if m.figures.PerSecond != nil {
			perSecond += *m.figures.PerSecond
			f.PerSecond = &perSecond
		}
		if m.figures.InFlight != nil {
			inFlight += *m.figures.InFlight
			f.InFlight = &inFlight
		}
		if m.tally.rates > 0 {
			sum.Merge(m.window.Sum(now, max(shown, m.tally.over*3/2)))
		} else {
			t := s.reported()
			sum.Merge(&t.sum)
		}
	}
	if percent, ok := sum.ErrorPercent(); ok {
		f.ErrorPercent = known(percent)
	}
	f.P50Ms, f.P90Ms, f.P99Ms = percentiles(&sum.Latencies)
	return f
}
