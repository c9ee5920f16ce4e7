package selection

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAStrategySeesWhatAnInstanceSaysOfItself(t *testing.T) {
	set := NewSet(Config{})
	info := Info{
		ID: "a", Process: "p1", State: StateRunning, Version: "1.2.0", Zone: "eu-1a", Build: "v7",
		Labels: map[string]string{"tier": "gold"}, Leads: []string{"default"},
	}
	set.Put(info)
	i := set.Candidates()[0]
	tier, ok := i.Label("tier")
	require.Equal(t, []any{"1.2.0", "eu-1a", "v7", "gold", true}, []any{i.Version(), i.Zone(), i.Build(), tier, ok})
	require.True(t, i.Leads("default"))
	require.False(t, i.Leads("books"))

	info.Version, info.Zone, info.Build, info.Leads = "2.0.0", "eu-1b", "v8", []string{"books", "trades"}
	set.Put(info)
	require.Same(t, i, set.Candidates()[0])
	require.Equal(t, []string{"1.2.0", "eu-1a", "v7"}, []string{i.Version(), i.Zone(), i.Build()}, "a process keeps what it is")
	require.False(t, i.Leads("default"), "what it leads changes")
	require.True(t, i.Leads("books"))
	require.True(t, i.Leads("trades"))

	info.Leads = nil
	set.Put(info)
	require.False(t, i.Leads("trades"))
}
