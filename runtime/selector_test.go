package aegis

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/spec"
	"github.com/aegisrpc/aegis/runtime/registry"
	"github.com/aegisrpc/aegis/runtime/selection"
)

func newTestSelector() *selector {
	return &selector{service: "s", set: selection.NewSet(selection.Config{}), targets: map[string]*target{}, methods: map[string]*methodSelector{}}
}

func candidates(s *selector) []string {
	names := []string{}
	for _, i := range s.set.Candidates() {
		names = append(names, i.ID()+"/"+i.Process())
	}
	return names
}

func TestTheSetIsWhatTheViewTells(t *testing.T) {
	t.Parallel()
	s := newTestSelector()
	record := func(state registry.State) *registry.Record {
		return &registry.Record{Instance: "a", Process: "p", State: state, Methods: []string{"Get"}}
	}
	load := registry.Load{InFlight: 3, Latency: time.Millisecond, Capacity: 9}
	s.Changed(registry.Change{Kind: registry.StateChanged, Record: record(registry.Running)})
	require.Zero(t, s.set.Len(), "it has not joined")
	s.Changed(registry.Change{Kind: registry.Joined, Record: record(registry.Starting)})
	require.Empty(t, candidates(s))
	s.Changed(registry.Change{Kind: registry.StateChanged, Record: record(registry.Running)})
	require.Equal(t, []string{"a/p"}, candidates(s))
	s.Heard(&registry.Beat{Record: record(registry.Running), Load: load})
	one := s.set.Candidates()[0]
	require.Equal(t, selection.Load{InFlight: 3, Latency: time.Millisecond, Capacity: 9}, one.Load())
	require.True(t, one.Serves("Get"))
	require.False(t, one.Serves("Do"))

	ill := record(registry.Running)
	ill.Unhealthy = true
	s.Changed(registry.Change{Kind: registry.ConditionChanged, Record: ill})
	require.Empty(t, candidates(s))
	s.Heard(&registry.Beat{Record: record(registry.Running)})
	require.Empty(t, candidates(s), "a late heartbeat changes nothing")
	s.Changed(registry.Change{Kind: registry.ConditionChanged, Record: record(registry.Running)})
	require.Equal(t, []string{"a/p"}, candidates(s))
	s.Heard(&registry.Beat{Record: &registry.Record{Instance: "nobody's"}})
	s.Changed(registry.Change{Kind: registry.StateChanged, Record: record(registry.Stopping)})
	require.Empty(t, candidates(s))
}

func TestSubjectsAreMadeOnce(t *testing.T) {
	t.Parallel()
	s := newTestSelector()
	s.conn = &Conn{}
	var to target
	var made []*string
	for i := range 3 {
		made = append(made, s.forMethod(fmt.Sprint("M", i)).subject("a", &to))
	}
	for i := range 3 {
		again := s.forMethod(fmt.Sprint("M", i)).subject("a", &to)
		require.Same(t, made[i], again)
		require.Equal(t, fmt.Sprintf(".inst.a.s.M%d", i), *again)
	}
}

// An overloaded instance does not keep a call from the others; when all are, it
// waits.
func TestAnOverloadedCallWaitsOnlyWhenAllAreOverloaded(t *testing.T) {
	t.Parallel()
	s := newTestSelector()
	for _, name := range []string{"a", "b"} {
		s.Changed(registry.Change{Kind: registry.Joined, Record: &registry.Record{Instance: name, Process: "p", State: registry.Running}})
	}
	m := clientMethod{
		client: &Client{budget: newRetryBudget(0, 1)},
		method: &spec.Method{Retry: spec.Retry{MaxAttempts: 3, InitialBackoff: time.Second, MaxBackoff: time.Second}},
	}
	a := attempt{clientMethod: &m, cfg: &callConfig{}, number: 1, pick: &pick{from: s.forMethod("Get")}}
	overloaded := refusal(CodeResourceExhausted, ReasonOverloaded, "").notRun(true) // as decoded
	overloaded.st.FromServer = true
	for i, instance := range s.set.Candidates() {
		a.pick.tried.Add(instance)
		pause, again := a.pause(overloaded)
		require.True(t, again)
		require.Equal(t, i == 1, pause > 0, "%d of 2 tried", i+1)
	}
	for range 8 {
		_, again := a.pause(overloaded)
		require.True(t, again)
	}
	_, again := a.pause(overloaded)
	require.False(t, again, "the budget is spent")
}
