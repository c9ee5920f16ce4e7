package board

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aegisrpc/aegis/internal/monitorapi"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/reigns"
	"github.com/aegisrpc/aegis/runtime/health"
)

const (
	// patience is how long something has to last before it is a finding, unless it is worse.
	patience = 3 * time.Second
	// lostFor is how long an instance that was lost, and did not come back, is a finding.
	lostFor = 10 * time.Minute
	// critically is how long a group may be without a leader before that is critical.
	critically = 10 * time.Second
	// apart is how many instances of a service have the same finding each; more have one
	// together.
	apart = 3
)

// finding is something that needs attention, as it is now.
type finding struct {
	monitorapi.Finding

	hold time.Duration // how long it has to last before it is shown
}

// findings returns what needs attention at now. It only reads.
func (b *Board) findings(now time.Time) []finding {
	var list []finding
	for _, s := range b.services {
		list = append(list, s.instanceFindings(now)...)
		list = append(list, s.leaderFindings(now)...)
		for _, q := range s.work.queues {
			list = append(list, q.findings(now, s)...)
		}
		for _, x := range s.work.subscriptions {
			list = append(list, x.findings(now, s)...)
		}
		for i := range s.work.streams {
			list = append(list, streamFindings(s, &s.work.streams[i])...)
		}
		list = append(list, s.letterFindings(now)...)
	}
	return append(list, b.hiddenFindings()...)
}

// id makes the ID of a finding. Names may have any character, so that each is quoted.
func id(kind string, names ...string) string {
	for i, name := range names {
		names[i] = strings.ReplaceAll(strings.ReplaceAll(name, "%", "%25"), "/", "%2F")
	}
	return kind + "/" + strings.Join(names, "/")
}

// shortName is the name of a service without its package.
func (s *service) shortName() string { return shortName(s.name) }

func shortName(service string) string { return service[strings.LastIndexByte(service, '.')+1:] }

// label names a method with its service, and a group with its service.
func (s *service) label(method string) string { return s.shortName() + "." + method }
func (g *group) label() string                { return shortName(g.service) + "/" + g.name }

// instanceFindings are those of the instances of a service, and that none runs.
func (s *service) instanceFindings(now time.Time) []finding {
	if f, none := s.noneRuns(); none {
		return []finding{f}
	}
	var list []finding
	servers := s.servers()
	byAilment := map[ailment][]*instance{}
	for _, i := range s.fleet.ordered(func(i *instance) bool { return !i.facts.Reserved }) {
		byAilment[i.ails] = append(byAilment[i.ails], i)
	}
	for _, ails := range []ailment{unhealthy, poor, checked} {
		ill := byAilment[ails]
		if len(ill) > apart {
			list = append(list, s.together(ails, ill, len(servers)))
			continue
		}
		for _, i := range ill {
			list = append(list, s.apart(ails, i, len(ill) >= len(servers)))
		}
	}
	return append(list, s.lostFindings(now)...)
}

// serves reports whether an instance takes calls of everybody: it is neither a mere
// subscriber nor reserved.
func (i *instance) serves() bool { return !i.facts.Subscriber && !i.facts.Reserved }

// servers are the instances that serve.
func (s *service) servers() []*instance {
	var list []*instance
	for _, i := range s.fleet.present {
		if i.serves() {
			list = append(list, i)
		}
	}
	return list
}

// running counts the servers that are running.
func (s *service) running() (n int) {
	for _, i := range s.fleet.present {
		if i.serves() && i.facts.State == aegis.StateRunning {
			n++
		}
	}
	return n
}

// noneRuns is the finding of a service without an instance that runs, which had one within
// the hour.
func (s *service) noneRuns() (finding, bool) {
	if s.running() > 0 {
		return finding{}, false
	}
	f := finding{hold: patience, Finding: monitorapi.Finding{
		ID: id("service", s.name), Level: monitorapi.LevelCritical, Service: s.name,
		What: "No instance of " + s.shortName() + " runs",
	}}
	servers := s.servers()
	var last *past
	for _, p := range s.fleet.past {
		if p.instance.serves() && (last == nil || p.at.After(last.at)) {
			last = p
		}
	}
	switch {
	case len(servers) > 0:
		f.Detail = many(len(servers), "instance") + " starting or stopping"
	case last == nil:
		return finding{}, false
	case last.expired:
		f.Detail = "The last one, " + last.instance.facts.Name + ", was lost"
	default: // somebody may have wanted that
		f.Level = monitorapi.LevelAttention
		f.Detail = "The last one, " + last.instance.facts.Name + ", has stopped"
	}
	if last != nil {
		f.Since = last.at
	}
	return f, true
}

func (s *service) apart(ails ailment, i *instance, all bool) finding {
	f := finding{hold: patience, Finding: monitorapi.Finding{
		ID: id(ails.kind(), s.name, i.facts.Name), Level: monitorapi.LevelAttention, Service: s.name, Instance: i.facts.Name,
		What: i.facts.Name + " " + i.says(), Detail: i.why,
	}}
	if i.facts.Subscriber {
		f.ID = id(ails.kind(), s.name, i.facts.Name, "subscriber")
	}
	switch {
	case ails == poor:
		f.Detail = s.compared(i)
	case ails == unhealthy && all:
		f.Level = monitorapi.LevelCritical
	}
	return f
}

func (s *service) together(ails ailment, ill []*instance, servers int) finding {
	names := make([]string, 0, apart)
	for _, i := range ill[:apart] {
		names = append(names, i.facts.Name)
	}
	f := finding{hold: patience, Finding: monitorapi.Finding{
		ID: id(ails.kind(), s.name), Level: monitorapi.LevelAttention, Service: s.name,
		What:   fmt.Sprintf("%d of %d instances of %s %s", len(ill), max(servers, len(ill)), s.shortName(), ails.plural()),
		Detail: fmt.Sprintf("%s and %d more", strings.Join(names, ", "), len(ill)-len(names)),
	}}
	if ails == unhealthy && len(ill) >= servers {
		f.Level = monitorapi.LevelCritical
	}
	return f
}

func (a ailment) kind() string {
	return map[ailment]string{checked: "check", poor: "grade", unhealthy: "unhealthy"}[a]
}

func (a ailment) plural() string {
	return map[ailment]string{checked: "have checks that lower their scores", poor: "are slow or fail", unhealthy: "are unhealthy"}[a]
}

// says returns in a word what is wrong with an instance.
func (i *instance) says() string {
	switch {
	case i.ails == unhealthy:
		return "is unhealthy"
	case i.ails == checked:
		return "has a check that lowers its score"
	case health.GradeOf(0, i.report.ErrorPercent()) != i.report.Grade:
		return "is slow"
	default:
		return "fails " + number(i.report.ErrorPercent()) + " % of its requests"
	}
}

// compared says how the figures of an instance are beside those of its peers.
func (s *service) compared(i *instance) string {
	text := "grade " + string(i.report.Grade)
	l := i.report.Latency
	if l == nil {
		return text
	}
	text += ", p99 " + number(milliseconds(l.P99)) + " ms"
	var peers []time.Duration
	for _, other := range s.servers() {
		if other != i && other.report != nil && other.report.Latency != nil {
			peers = append(peers, other.report.Latency.P99)
		}
	}
	if len(peers) > 0 {
		slices.Sort(peers)
		text += " where its peers have " + number(milliseconds(peers[len(peers)/2])) + " ms"
	}
	return text
}

// lostFindings are those of instances that were lost, and have not come back. A reserved one
// is for the one who has started it to look after.
func (s *service) lostFindings(now time.Time) []finding {
	lost := s.fleet.gone(func(p *past) bool { return p.expired && !p.instance.facts.Reserved && now.Sub(p.at) < lostFor })
	if len(lost) > apart {
		since := lost[0].at
		for _, p := range lost {
			since = earlier(since, p.at)
		}
		return []finding{{hold: patience, Finding: monitorapi.Finding{
			ID: id("lost", s.name), Level: monitorapi.LevelAttention, Service: s.name, Since: since,
			What:   fmt.Sprintf("%d instances of %s are lost", len(lost), s.shortName()),
			Detail: "Their heartbeats ended without a word; they were killed, or have no connection",
		}}}
	}
	list := make([]finding, 0, len(lost))
	for _, p := range lost {
		name := p.instance.facts.Name
		list = append(list, finding{hold: patience, Finding: monitorapi.Finding{
			ID: id("lost", s.name, name), Level: monitorapi.LevelAttention, Service: s.name, Instance: name, Since: p.at,
			What: name + " is lost", Detail: "Its heartbeats ended without a word; it was killed, or has no connection",
		}})
	}
	return list
}

// leaderFindings are those of the groups of a service. A service that nobody runs any more
// needs no leaders.
func (s *service) leaderFindings(now time.Time) []finding {
	if !s.listed() {
		return nil
	}
	var list []finding
	for _, g := range s.groups {
		if f, ok := g.finding(now); ok {
			list = append(list, f)
		}
	}
	return list
}

func (g *group) finding(now time.Time) (finding, bool) {
	state, _ := g.history.State()
	l, led := g.history.Leader()
	f := finding{Finding: monitorapi.Finding{
		ID: id("leader", g.service, g.name), Level: monitorapi.LevelAttention, Service: g.service, Group: g.name,
		Instance: l.Instance, Since: g.since(), What: g.label() + " has no leader",
	}}
	switch state {
	case reigns.Leads:
		return finding{}, false
	case reigns.Silent:
		f.What = l.Instance + ", the leader of " + g.label() + ", does not answer"
		f.Detail = "It holds the lease: it is frozen or overloaded, or its connection is slow"
	case reigns.Gone:
		f.Detail = "The connection of " + l.Instance + " is gone, and nobody follows yet"
	case reigns.None:
		f.Detail = l.Instance + " has released it, and nobody follows yet"
		if !led {
			f.Detail, f.hold = "Nobody has led it since this monitor began to watch", patience
		}
	}
	if now.Sub(f.Since) >= critically {
		f.Level = monitorapi.LevelCritical
	}
	return f, true
}

// hiddenFindings says that NATS does not tell when nobody listens.
func (b *Board) hiddenFindings() []finding {
	n := 0
	var first string
	for _, s := range b.services {
		for _, i := range s.fleet.present {
			if i.facts.NoRespondersHidden {
				if n++; first == "" || i.facts.Name < first {
					first = i.facts.Name
				}
			}
		}
	}
	if n == 0 {
		return nil
	}
	return []finding{{hold: patience, Finding: monitorapi.Finding{
		ID: id("hidden"), Level: monitorapi.LevelAttention, What: "NATS hides that nobody listens",
		Detail: many(n, "instance") + ", such as " + first + ", found that calls to nobody take their whole timeout: somebody subscribes to everything",
	}}}
}
