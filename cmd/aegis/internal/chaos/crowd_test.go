package chaos

import (
	"testing"

	"github.com/stretchr/testify/require"

	aegis "github.com/aegisrpc/aegis/runtime"
)

func TestAProcessThatWasFrozenDoesNotCountAsLeader(t *testing.T) {
	t.Parallel()
	c := &crowd{instances: make(map[string]aegis.Instance), killed: make(map[string]bool)}
	claims := func(process string, terms ...aegis.Term) {
		i := aegis.Instance{Name: process, Process: process, State: aegis.StateRunning, Leading: terms}
		c.add(aegis.InstanceChange{Kind: aegis.InstanceJoined, Instance: i}, nil)
	}
	claims("standby")
	require.Empty(t, c.leader("default"))
	claims("frozen", aegis.Term{Group: "default", Token: 7}, aegis.Term{Group: "other", Token: 9})
	require.Equal(t, "frozen", c.leader("default"))
	claims("standby", aegis.Term{Group: "default", Token: 8})
	for range 50 { // maps are ranged over in any order
		require.Equal(t, "standby", c.leader("default"))
		require.Equal(t, "frozen", c.leader("other"))
	}
	c.bury("standby")
	require.Equal(t, "frozen", c.leader("default"))
}
