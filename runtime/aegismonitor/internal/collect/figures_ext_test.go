package collect_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/monitorapi"
	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/board"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

// requests returns how many requests of a method were counted by all instances.
func (r *recorder) requests(method string) (n uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.stats {
		for i := range s.Methods {
			if s.Methods[i].Method == method {
				n += s.Methods[i].Counts.Requests
			}
		}
	}
	return n
}

func TestInstancesComeAndGo(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	serveProbe(t, n.Connect(t), "a")
	w := watch(t, n.Connect(t))
	eventually(t, "a has joined", func() bool { return w.changed(aegis.InstanceJoined, "a") })
	stop := serveProbe(t, n.Connect(t), "b")
	eventually(t, "b has joined", func() bool { return w.changed(aegis.InstanceJoined, "b") })
	eventually(t, "both are listed, with heartbeats", func() bool {
		return w.with(func() bool {
			return len(w.instances) == 2 && !w.instances[0].Heard.IsZero() && !w.instances[1].Heard.IsZero()
		})
	})
	stop()
	eventually(t, "b has left", func() bool { return w.changed(aegis.InstanceLeft, "b") })
	eventually(t, "one is listed", func() bool { return w.with(func() bool { return len(w.instances) == 1 }) })
	require.True(t, w.is(monitorapi.SourceInstances, monitorapi.SourceReady))
	require.True(t, w.stepped("connected"))
}

func TestCountsAndTheirLatenciesArrive(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	for _, name := range []string{"a", "b"} {
		serveProbe(t, n.Connect(t), name)
	}
	w := watch(t, n.Connect(t))
	client := newProbes(t, n)
	for range 20 {
		_, err := client.Do(t.Context(), &testv1.DoRequest{})
		require.NoError(t, err)
	}
	_, err := client.Do(t.Context(), &testv1.DoRequest{Text: fails})
	require.Equal(t, aegis.CodeAborted, aegis.CodeOf(err))
	eventually(t, "all are counted", func() bool { return w.requests("Do") == 21 })
	eventually(t, "figures are ready", func() bool { return w.is(monitorapi.SourceFigures, monitorapi.SourceReady) })
	var errors, codes, latencies uint64
	w.note(func() {
		require.Positive(t, w.ticks)
		for process, s := range w.stats {
			require.Equal(t, probeService, s.Service)
			require.Equal(t, process, s.Process)
			require.Contains(t, []string{"a", "b"}, s.Instance)
			for i := range s.Methods {
				errors += s.Methods[i].Counts.Errors
				latencies += s.Methods[i].Counts.Spread.Requests()
				for _, n := range s.Methods[i].Codes {
					codes += n
				}
			}
		}
	})
	require.EqualValues(t, 1, errors)
	require.EqualValues(t, 1, codes)
	require.EqualValues(t, 21, latencies)
}

func TestDescriptionsAreReadOnce(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	serveOrders(t, n.Connect(t), "a")
	w := watch(t, n.Connect(t))
	var d *board.Description
	eventually(t, "it is described", func() bool {
		return w.with(func() bool { d = w.described[orderService]; return d != nil })
	})
	require.NotEmpty(t, d.Text)
	require.NotEmpty(t, d.Methods)
	require.Equal(t, "PlaceOrder", d.Methods[0].Name)
	require.Equal(t, "single active", d.Methods[0].Pattern)
	require.NotEmpty(t, d.Methods[0].Group)
}
