package board

import (
	"cmp"
	"slices"
	"time"

	"github.com/aegisrpc/aegis/internal/monitorapi"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisadmin"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/reigns"
)

// group is a single active group.
type group struct {
	service, name string
	history       reigns.Group
	known         time.Time // when the board first knew of it
	// The first term that was known has begun before that, at its beginning by the clock of
	// its leader; zero if that is not said.
	firstTerm  uint64
	begun      time.Time
	lease      time.Duration // 0 if it is not known
	candidates []aegisadmin.Candidate
	recorded   time.Time // when the records had it last
	vacant     bool      // the last records said that nobody leads
}

// doubt is a term that the registry says is over.
type doubt struct {
	group *group
	term  uint64
}

// group returns a group, and makes it if it is new; nil if there are too many.
func (b *Board) group(s *service, name string) *group {
	g := s.groups[name]
	if g == nil {
		if b.census.groups >= maxGroups {
			return nil
		}
		b.census.groups++
		g = &group{service: s.name, name: name}
		s.groups[name] = g
	}
	return g
}

// Led takes in that an instance leads a group, as an announcement, a heartbeat or a record
// says. The process of the leader is "" if that is not said, and is then that of the
// instance of that name.
func (b *Board) Led(now time.Time, service, group string, l reigns.Leader) {
	b.mu.Lock()
	defer b.unlockJudged(now)
	s := b.service(service)
	if s == nil {
		return
	}
	g := b.group(s, group)
	if g == nil {
		return
	}
	if l.Process == "" {
		l.Process = s.processOf(l.Instance)
	}
	b.lead(now, g, l, time.Time{})
}

// lead takes in a leader. begun is when the term began by the leader's clock; it counts for
// the first one that is known of a group, as the board has not seen the others' beginning
// itself only then.
func (b *Board) lead(now time.Time, g *group, l reigns.Leader, begun time.Time) {
	last, led := g.history.Leader()
	if !led {
		g.known, g.firstTerm = now, l.Term
	}
	if g.firstTerm == l.Term && !begun.IsZero() && g.begun.IsZero() && begun.Before(g.known) {
		g.begun = begun
	}
	b.watch(now, g, func() { g.history.Lead(now, l) })
	news := l.Term > last.Term && (led || begun.IsZero() && b.sources.named(monitorapi.SourceLeaders).At != nil)
	if news {
		b.tell(now, monitorapi.Event{
			Kind: monitorapi.EventLeader, Level: monitorapi.LevelOK, Service: g.service, Group: g.name, Instance: l.Instance,
			Text: l.Instance + " leads " + g.label() + b.afterGap(g),
		})
	}
}

// afterGap says how long the gap was that a leader has ended.
func (b *Board) afterGap(g *group) string {
	gaps, list := g.history.Gaps(), g.history.Reigns()
	if len(gaps) == 0 || len(list) == 0 {
		return ""
	}
	gap := gaps[len(gaps)-1]
	if gap.To.IsZero() || !gap.To.Equal(list[len(list)-1].From) {
		return ""
	}
	return ", after " + length(gap.Length(gap.To)) + " without a leader"
}

// watch runs f, which tells the history of a group something, and takes in what has changed.
func (b *Board) watch(now time.Time, g *group, f func()) {
	leader, _ := g.history.Leader()
	state, _ := g.history.State()
	f()
	leaderNow, _ := g.history.Leader()
	stateNow, _ := g.history.State()
	if leader == leaderNow && state == stateNow {
		return
	}
	b.changed()
	b.urgent, b.stirred = true, true
	if stateNow != state && (stateNow == reigns.Gone || stateNow == reigns.None) {
		text := g.label() + " has no leader: " + leaderNow.Instance + " has released it"
		if stateNow == reigns.Gone {
			text = g.label() + " has no leader: the connection of " + leaderNow.Instance + " is gone"
		}
		b.tell(now, monitorapi.Event{
			Kind: monitorapi.EventLeaderless, Level: monitorapi.LevelAttention, Service: g.service, Group: g.name,
			Instance: leaderNow.Instance, Text: text,
		})
	}
}

// Released takes in that the leader of a term has released its group.
func (b *Board) Released(now time.Time, service, group string, term uint64) {
	b.mu.Lock()
	defer b.unlockJudged(now)
	if s := b.services[service]; s != nil && s.groups[group] != nil {
		g := s.groups[group]
		b.watch(now, g, func() { g.history.Stop(now, term) })
	}
}

// Gone takes in that NATS knows no connection of a process any more.
func (b *Board) Gone(now time.Time, process string) {
	b.mu.Lock()
	defer b.unlockJudged(now)
	b.eachLedBy(now, process, func(g *group) { g.history.Lose(now, process) })
}

// Answered takes in that a process has answered.
func (b *Board) Answered(now time.Time, process string) {
	b.mu.Lock()
	defer b.unlockJudged(now)
	b.eachLedBy(now, process, func(g *group) { g.history.Answer(now, process) })
}

// Missed takes in that a process has not answered since some time before now.
func (b *Board) Missed(now, since time.Time, process string) {
	b.mu.Lock()
	defer b.unlockJudged(now)
	b.eachLedBy(now, process, func(g *group) { g.history.Miss(earlier(since, now), process) })
}

// expired takes in that the heartbeats of a process do not come any more.
func (b *Board) expired(now time.Time, process string) {
	b.eachLedBy(now, process, func(g *group) { g.history.Miss(now, process) })
	b.doubts = slices.DeleteFunc(b.doubts, func(d doubt) bool {
		l, _ := d.group.history.Leader()
		return l.Process == process
	})
}

func (b *Board) eachLedBy(now time.Time, process string, f func(*group)) {
	if process == "" {
		return
	}
	for _, g := range b.groupsThat(func(g *group) bool { l, led := g.history.Leader(); return led && l.Process == process }) {
		b.watch(now, g, func() { f(g) })
	}
}

// blind takes in that of leaders nothing is heard.
func (b *Board) blind() {
	for _, s := range b.services {
		for _, g := range s.groups {
			g.history.Blind()
		}
	}
	b.doubts = nil
}

// groupsThat returns the groups of which f is true, in order of service and name.
func (b *Board) groupsThat(f func(*group) bool) []*group {
	var list []*group
	for _, s := range b.services {
		for _, g := range s.groups {
			if f(g) {
				list = append(list, g)
			}
		}
	}
	slices.SortFunc(list, func(a, b *group) int {
		return cmp.Or(cmp.Compare(a.service, b.service), cmp.Compare(a.name, b.name))
	})
	return list
}

// doubt takes in that an instance does not lead any more, as the registry says. If it has
// released the group an announcement says so; if it is lost, the next change of the instance
// does. What is in doubt still at the next Tick is over.
func (b *Board) doubt(s *service, term aegis.Term) {
	if g := s.groups[term.Group]; g != nil && len(b.doubts) < maxGroups {
		b.doubts = append(b.doubts, doubt{g, term.Token})
	}
}

func (b *Board) settleLeaders(now time.Time) {
	for _, d := range b.doubts {
		b.watch(now, d.group, func() { d.group.history.Stop(now, d.term) })
	}
	b.doubts = nil
}

// LeaderRecords takes in all groups, as the bucket of leaders and the candidates say.
func (b *Board) LeaderRecords(now time.Time, list []aegisadmin.Leadership) {
	b.mu.Lock()
	defer b.unlockJudged(now)
	b.census.leftGroups = 0
	for i := range list {
		s := b.service(list[i].Service)
		if s == nil {
			b.census.leftGroups++
			continue
		}
		g := b.group(s, list[i].Group)
		if g == nil {
			b.census.leftGroups++
			continue
		}
		b.record(now, g, &list[i])
	}
	b.changed()
}

// record takes in the record of a group. It may be older than what was heard: that nobody
// leads counts when two records say it, and a term that is known already is no news, as the
// record of a leader that was killed stays until another one leads.
func (b *Board) record(now time.Time, g *group, l *aegisadmin.Leadership) {
	if g.known.IsZero() {
		g.known = now
	}
	g.recorded, g.lease = now, max(l.Lease, 0)
	g.candidates = slices.Clone(l.Candidates)
	last, led := g.history.Leader()
	vacant := l.Instance == ""
	switch {
	case vacant && g.vacant && led:
		b.watch(now, g, func() { g.history.Stop(now, last.Term) })
	case !vacant && (!led || l.Term > last.Term):
		b.lead(now, g, reigns.Leader{Instance: l.Instance, Process: l.Process, Term: l.Term}, l.Since)
	case !vacant && l.Term == last.Term && l.Answers:
		b.watch(now, g, func() { g.history.Answer(now, l.Process) })
	}
	g.vacant = vacant
}

// ToProbe is a leader to ask whether it is there.
type ToProbe struct{ Service, Instance, Process string }

// ToProbe returns each process that leads a group, once.
func (b *Board) ToProbe() []ToProbe {
	b.mu.Lock()
	defer b.unlock()
	var list []ToProbe
	asked := map[string]bool{}
	for _, g := range b.groupsThat((*group).leads) {
		l, _ := g.history.Leader()
		if l.Process != "" && !asked[l.Process] {
			asked[l.Process] = true
			list = append(list, ToProbe{g.service, l.Instance, l.Process})
		}
	}
	return list
}

// leads reports whether somebody holds the lease, as far as is known.
func (g *group) leads() bool {
	state, _ := g.history.State()
	return state == reigns.Leads || state == reigns.Silent
}

// forgetGroups forgets what is older than an hour, and groups of which nothing is known any
// more.
func (b *Board) forgetGroups(now time.Time, s *service) {
	for name, g := range s.groups {
		g.history.Forget(now.Add(-hour))
		_, since := g.history.State()
		if !g.leads() && now.Sub(latest(since, latest(g.recorded, g.known))) > hour {
			delete(s.groups, name)
		}
	}
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
