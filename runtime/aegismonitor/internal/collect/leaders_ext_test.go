package collect_test

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/monitorapi"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/reigns"
	"github.com/aegisrpc/aegis/runtime/aegistest"
	"github.com/aegisrpc/aegis/runtime/election"
)

const orderGroup = orderService + "/default"

// leader returns the leader of the order service once it has a process that answers.
func (w *watched) leader(t *testing.T) (l reigns.Leader) {
	t.Helper()
	eventually(t, "there is a leader that answers", func() bool {
		return w.with(func() bool {
			l = w.leaders[orderGroup]
			return l.Process != "" && w.answered[l.Process] > 0
		})
	})
	return l
}

// other returns the other one of two candidates.
func other(name string) string {
	return map[string]string{"a": "b", "b": "a"}[name]
}

func TestKilledLeaderIsGone(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	conns := map[string]*aegis.Conn{}
	for _, name := range []string{"a", "b"} {
		conn := n.Connect(t, silent())
		conns[name] = conn
		// Another one leads so late that it is seen, however busy the machine is.
		stand(t, conn, name, election.Config{Lease: 6 * time.Second, Window: 1500 * time.Millisecond})
	}
	w := watch(t, n.Connect(t))
	first := w.leader(t)
	killed := time.Now()
	conns[first.Instance].NATS().Close() // as the system does it for a process that is killed
	var gone time.Time
	eventually(t, "the leader is gone", func() bool {
		return w.with(func() bool { gone = w.gone[first.Process]; return !gone.IsZero() })
	})
	t.Logf("gone after %v", gone.Sub(killed))
	eventually(t, "the other one leads", func() bool { return w.stepped("led by " + other(first.Instance)) })
	require.False(t, w.stepped("released by "+first.Instance))
	require.Equal(t, other(first.Instance), w.leader(t).Instance)
	eventually(t, "the records are read", func() bool {
		return w.with(func() bool {
			return len(w.records) == 1 && w.records[0].Instance == other(first.Instance) && len(w.records[0].Candidates) == 1
		})
	})
}

func TestStoppedLeaderReleasesAndIsNotGone(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	stops := map[string]func(){}
	for _, name := range []string{"a", "b"} {
		stops[name] = serveOrders(t, n.Connect(t), name)
	}
	w := watch(t, n.Connect(t))
	first := w.leader(t)
	stops[first.Instance]()
	eventually(t, "it has released the group", func() bool { return w.stepped("released by " + first.Instance) })
	eventually(t, "the other one leads", func() bool { return w.stepped("led by " + other(first.Instance)) })
	second := w.leader(t)
	require.Greater(t, second.Term, first.Term)
	eventually(t, "leaders are ready", func() bool { return w.is(monitorapi.SourceLeaders, monitorapi.SourceReady) })
	require.Empty(t, w.problem(monitorapi.SourceLeaders))
	w.note(func() {
		for i, step := range w.steps {
			if step == "gone "+first.Process {
				require.Greater(t, i, indexOf(w.steps, "released by "+first.Instance), "%v", w.steps)
			}
		}
	})
}

func indexOf(list []string, one string) int {
	for i := range list {
		if list[i] == one {
			return i
		}
	}
	return -1
}

// leads has the recorder take a process for a leader.
func (r *recorder) leads(process string) {
	r.note(func() {
		r.leaders["x.v1.Service/"+process] = reigns.Leader{Instance: process, Process: process, Term: 1}
	})
}

func TestFrozenLeaderIsSilentAndAStoppingOneIsNot(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	nc := n.Connect(t).NATS()
	_, err := nc.SubscribeSync("aegis.live.FROZEN") // does not answer
	require.NoError(t, err)
	_, err = nc.SubscribeSync("aegis.live.STOPPING.>") // where candidates listen
	require.NoError(t, err)
	require.NoError(t, nc.Flush())
	w := watch(t, n.Connect(t))
	for _, process := range []string{"FROZEN", "STOPPING", "KILLED", "no.name", "*", strings.Repeat("x", 300)} {
		w.leads(process)
	}
	eventually(t, "one is gone", func() bool { return w.stepped("gone KILLED") })
	eventually(t, "one is silent", func() bool {
		return w.with(func() bool { since, ok := w.missed["FROZEN"]; return ok && time.Since(since) >= time.Second })
	})
	w.note(func() {
		require.Len(t, w.missed, 1, "%v", w.missed)
		require.Len(t, w.gone, 1, "%v", w.gone)
		require.Zero(t, w.answered["FROZEN"])
	})
	_, err = nc.Subscribe("aegis.live.FROZEN", func(msg *nats.Msg) { _ = msg.Respond([]byte("FROZEN")) })
	require.NoError(t, err)
	eventually(t, "it answers again", func() bool { return w.with(func() bool { return w.answered["FROZEN"] > 0 }) })
}
