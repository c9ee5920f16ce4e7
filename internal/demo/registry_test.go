package demo

import (
	"testing"

	"github.com/stretchr/testify/require"

	aegis "github.com/aegisrpc/aegis/runtime"
)

// A leader that was killed still says that it leads, until it is missed.
func TestTheRegistryShowsTheLatestLeader(t *testing.T) {
	list := instances{
		{Name: "a", State: aegis.StateRunning, Leading: []aegis.Term{{Group: "default", Token: 7}}},
		{Name: "b", State: aegis.StateRunning, Leading: []aegis.Term{{Group: "default", Token: 9}}},
	}
	require.Equal(t, ""+
		"      instance   state     leads     grade   score   calls\n"+
		"      a          RUNNING   -         -       -       -\n"+
		"      b          RUNNING   default   -       -       -\n", list.String())
	require.True(t, ledBy(9)(list))
	require.False(t, ledBy(10)(list))
	require.False(t, without("a")(list))
	require.True(t, without("c")(list))
	require.False(t, serving("a", "b")(list), "they have not said how they do")
}
