package registry_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/runtime/registry"
)

const (
	beatEvery = 2 * time.Second
	goneAfter = registry.MissedHeartbeats*beatEvery + registry.Grace
)

// watched is a view with a clock of its own and what it has told.
type watched struct {
	t    *testing.T
	view *registry.View
	now  time.Duration
	told []string
}

func watch(t *testing.T) *watched {
	t.Helper()
	w := &watched{t: t}
	w.view = registry.NewView(0, func(c registry.Change) {
		line := fmt.Sprintf("%s %s", c.Record.Instance, c.Kind)
		switch c.Kind {
		case registry.StateChanged:
			line += fmt.Sprintf(" %s>%s", c.Previous, c.Record.State)
		case registry.Leads, registry.StoppedLeading:
			line += fmt.Sprintf(" %s %d", c.Lead.Group, c.Lead.Term)
		default:
		}
		w.told = append(w.told, line)
	})
	return w
}

// after lets time pass as it does for a watcher that is awake.
func (w *watched) after(d time.Duration) {
	for end := w.now + d; w.now < end; {
		w.now = min(end, w.now+max(w.view.Next(), time.Millisecond))
		w.view.Tick(w.now)
	}
}

func (w *watched) tells(want ...string) {
	w.t.Helper()
	require.Equal(w.t, want, w.told)
	w.told = nil
}

func (w *watched) heard(r *registry.Record) { w.view.Heard(w.now, &registry.Beat{Record: r}) }

// proc is a process that says something new with each record.
type proc struct{ r registry.Record }

func start(instance, process string, incarnation uint64) *proc {
	return &proc{registry.Record{
		Service: "s.S", Instance: instance, Process: process, Incarnation: incarnation,
		State: registry.Starting, Heartbeat: beatEvery,
	}}
}

func (p *proc) in(s registry.State, leads ...registry.Lead) *registry.Record {
	p.r.Change++
	p.r.State, p.r.Leads = s, leads
	r := p.r
	return &r
}

func lead(group string, term uint64) registry.Lead { return registry.Lead{Group: group, Term: term} }

func TestALifeAsAWatcherSeesIt(t *testing.T) {
	t.Parallel()
	w, a := watch(t), start("a", "P1", 1)
	w.view.Record(w.now, 1, a.in(registry.Starting))
	w.tells("a joined")
	w.heard(a.in(registry.Running))
	w.tells("a state changed STARTING>RUNNING")
	w.heard(a.in(registry.Running, lead("x", 5), lead("y", 6)))
	w.tells("a leads x 5", "a leads y 6")
	r := a.in(registry.Running, lead("x", 8))
	w.heard(r)
	w.tells("a no longer leads x 5", "a no longer leads y 6", "a leads x 8")
	w.heard(r)
	w.view.Record(w.now, 2, r)
	w.tells()
	w.heard(a.in(registry.Stopping, lead("x", 8)))
	w.tells("a state changed RUNNING>STOPPING")
	w.heard(a.in(registry.Stopped))
	w.tells("a no longer leads x 8", "a left")
	w.view.Record(w.now, 3, r) // late
	w.heard(r)
	w.view.Removed(w.now, 4, registry.Key{Service: "s.S", Instance: "a"})
	w.after(time.Minute)
	w.tells()
	require.Zero(t, w.view.Len())
}

func TestAViewKnowsWhenAHeartbeatCame(t *testing.T) {
	t.Parallel()
	w, a := watch(t), start("a", "P1", 1)
	heard := func() (at time.Duration) {
		w.view.Instances(func(i registry.Instance) bool { at = i.Heard; return true })
		return at
	}
	w.view.Record(w.now, 1, a.in(registry.Starting))
	require.Negative(t, heard(), "a record is no heartbeat")
	w.after(time.Second)
	r := a.in(registry.Running)
	w.heard(r)
	require.Equal(t, w.now, heard())
	w.after(time.Second)
	w.view.Record(w.now, 2, r)
	w.view.Connection(w.now, true)
	require.Equal(t, w.now-time.Second, heard())
	w.heard(r)
	require.Equal(t, w.now, heard())
	w.view.Record(w.now, 3, start("a", "P2", 2).in(registry.Starting))
	require.Negative(t, heard(), "another process was not heard")
}

func TestSilenceExpiresAfterThreeHeartbeats(t *testing.T) {
	t.Parallel()
	w := watch(t)
	r := start("a", "P1", 1).in(registry.Running, lead("x", 1))
	w.heard(r)
	for range 5 {
		w.after(goneAfter - time.Millisecond)
		w.heard(r)
	}
	w.tells("a joined", "a leads x 1")
	w.after(goneAfter - time.Millisecond)
	w.tells()
	w.after(time.Millisecond)
	w.tells("a no longer leads x 1", "a expired")
	w.view.Record(w.now, 7, r) // the store still has it
	w.tells()
	w.heard(r) // it is back
	w.tells("a joined", "a leads x 1")
}

// A record that is written again and again says nothing about who is alive.
func TestRecordsAloneKeepNobodyAlive(t *testing.T) {
	t.Parallel()
	w := watch(t)
	r := start("a", "P1", 1).in(registry.Running)
	for i := range 10 {
		w.view.Record(w.now, uint64(i+1), r)
		w.after(time.Second)
	}
	w.tells("a joined", "a expired")
}

func TestARestartUnderTheSameName(t *testing.T) {
	t.Parallel()
	w, old := watch(t), start("a", "P1", 10)
	w.heard(old.in(registry.Running))
	w.told = nil
	next := start("a", "P2", 11)
	w.view.Record(w.now, 2, next.in(registry.Starting))
	w.tells("a expired", "a joined")
	w.heard(old.in(registry.Running)) // the old one, late
	w.view.Record(w.now, 1, old.in(registry.Running))
	w.tells()

	// The clock of the next one's machine is behind.
	w.after(goneAfter)
	w.tells("a expired")
	w.heard(start("a", "P3", 3).in(registry.Running))
	w.tells("a joined")
}

func TestADeletedKeyEndsNobody(t *testing.T) {
	t.Parallel()
	w := watch(t)
	a := start("a", "P1", 1).in(registry.Running)
	w.view.Record(w.now, 5, a)
	w.view.Removed(w.now, 6, a.Key())
	for range 10 {
		w.after(time.Second)
		w.heard(a)
	}
	w.tells("a joined")
	w.after(goneAfter) // its last heartbeat was lost
	w.tells("a left")

	b := start("b", "P2", 1).in(registry.Running)
	w.view.Record(w.now, 8, b)
	w.view.Removed(w.now, 7, b.Key()) // late
	w.after(goneAfter)
	w.tells("b joined", "b expired")
}

func TestALostBucketLosesNobody(t *testing.T) {
	t.Parallel()
	w := watch(t)
	a, b := start("a", "P1", 1).in(registry.Running), start("b", "P2", 1).in(registry.Running)
	w.view.SyncBegin(w.now, 100)
	w.view.Record(w.now, 50, a)
	w.view.Record(w.now, 51, b)
	w.view.SyncEnd(w.now)
	w.tells("a joined", "b joined")
	w.view.BucketLost(w.now)
	w.after(time.Second)
	w.view.SyncBegin(w.now, 200)
	w.view.Record(w.now, 1, a) // revisions begin again
	w.view.SyncEnd(w.now)
	w.after(2 * time.Second)
	w.heard(a)
	w.heard(b)
	w.after(5 * time.Second)
	w.tells()
	w.view.Removed(w.now, 2, a.Key())
	w.after(goneAfter)
	require.ElementsMatch(t, []string{"a left", "b expired"}, w.told)
}

func TestAReconnectTellsTheDifference(t *testing.T) {
	t.Parallel()
	w := watch(t)
	a, b, c := start("a", "P1", 1), start("b", "P2", 1), start("c", "P3", 1)
	ra, rb := a.in(registry.Running), b.in(registry.Running)
	sync := func(records ...*registry.Record) {
		w.view.SyncBegin(w.now, 100)
		for i, r := range records {
			w.view.Record(w.now, uint64(10+i), r)
		}
		w.view.SyncEnd(w.now)
	}
	sync(ra, rb)
	w.told = nil
	w.view.Connection(w.now, false)
	w.after(time.Hour) // nothing can be heard, so nobody is gone
	w.tells()
	w.view.Connection(w.now, true)
	sync(a.in(registry.Stopping), c.in(registry.Running)) // b has left meanwhile
	w.tells("a state changed RUNNING>STOPPING", "c joined")
	w.after(goneAfter - time.Millisecond)
	w.heard(&a.r)
	w.heard(&c.r)
	w.tells()
	w.after(time.Millisecond)
	w.tells("b left")
}

// A watcher that was paused has not listened.
func TestAPausedWatcherBlamesNobody(t *testing.T) {
	t.Parallel()
	w := watch(t)
	r := start("a", "P1", 1).in(registry.Running)
	w.heard(r)
	w.now += time.Hour
	w.view.Tick(w.now)
	w.heard(r)
	w.tells("a joined")
}

func TestWhatIsGoneIsForgottenInTheEnd(t *testing.T) {
	t.Parallel()
	w := watch(t)
	for i := range 1000 {
		w.heard(start(fmt.Sprintf("i%d", i), "P1", 1).in(registry.Running))
	}
	w.after(goneAfter)
	require.Zero(t, w.view.Len())
	require.Equal(t, 1000, w.view.Remembered())
	w.after(registry.Memory + registry.Memory/5)
	require.Zero(t, w.view.Remembered())
}

func TestAViewIsBounded(t *testing.T) {
	t.Parallel()
	w := watch(t)
	w.view = registry.NewView(0, func(registry.Change) {})
	for i := range registry.MaxInstances + 100 {
		w.heard(start(fmt.Sprintf("i%d", i), "P1", 1).in(registry.Running))
	}
	require.Equal(t, registry.MaxInstances, w.view.Len())
	require.EqualValues(t, 100, w.view.Ignored())
}

// Reading a feed slowly, or not at all, holds no more than what there is.
func TestASlowReaderGetsTheDifference(t *testing.T) {
	t.Parallel()
	var feed *registry.Feed
	view := registry.NewView(0, func(c registry.Change) { feed.Add(c) })
	feed = view.NewFeed()
	a, b := start("a", "P1", 1), start("b", "P2", 1)
	view.Heard(0, &registry.Beat{Record: a.in(registry.Running)})
	c, ok := feed.Next()
	require.True(t, ok)
	require.Equal(t, registry.Joined, c.Kind)
	for i := range 100_000 {
		view.Heard(0, &registry.Beat{Record: b.in(registry.Running, lead("x", uint64(i+1)))})
	}
	view.Heard(0, &registry.Beat{Record: a.in(registry.Stopping)})
	var kinds []registry.Kind
	for c, ok := feed.Next(); ok; c, ok = feed.Next() {
		kinds = append(kinds, c.Kind)
	}
	require.ElementsMatch(t, []registry.Kind{registry.StateChanged, registry.Joined, registry.Leads}, kinds)
}

func TestKindsHaveNames(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for k := registry.Joined; k <= registry.ConditionChanged; k++ {
		require.NotEqual(t, "unknown change", k.String())
		require.False(t, seen[k.String()])
		seen[k.String()] = true
	}
	require.Equal(t, "unknown change", (registry.ConditionChanged + 1).String())
}
