package targets

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/runtime/registry"
	"github.com/aegisrpc/aegis/runtime/selection"
)

func newTestTable() *Table { return newTable(&Options{}, "s") }

func candidates(s *Table) []string {
	names := []string{}
	for _, i := range s.set.Candidates() {
		names = append(names, i.ID()+"/"+i.Process())
	}
	return names
}

func TestTheSetIsWhatTheViewTells(t *testing.T) {
	t.Parallel()
	s := newTestTable()
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
	s := newTestTable()
	var to target
	var made []*string
	for i := range 3 {
		made = append(made, s.Method(fmt.Sprint("M", i)).subject("a", &to))
	}
	for i := range 3 {
		again := s.Method(fmt.Sprint("M", i)).subject("a", &to)
		require.Same(t, made[i], again)
		require.Equal(t, fmt.Sprintf(".inst.a.s.M%d", i), *again)
	}
}
