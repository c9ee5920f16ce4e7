package collect_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/embednats"
	"github.com/aegisrpc/aegis/internal/monitorapi"
	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

// startNATS starts a NATS server of these options.
func startNATS(t *testing.T, o embednats.Options) *embednats.Server {
	t.Helper()
	s, err := embednats.Start(o)
	require.NoError(t, err)
	t.Cleanup(s.Stop)
	return s
}

func connectTo(t *testing.T, url string) *aegis.Conn {
	t.Helper()
	conn, err := aegis.Connect(t.Context(), url, silent())
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func TestNATSGoesAndComesBack(t *testing.T) {
	t.Parallel()
	s := aegistest.StartNATS(t)
	url := s.URL()
	serveProbe(t, connectTo(t, url), "a")
	serveOrders(t, connectTo(t, url), "b")
	w := watch(t, connectTo(t, url))
	first := w.leader(t)
	eventually(t, "there are figures", func() bool { return w.requests("Do") == 0 && len(w.counted()) == 2 })
	s.Stop()
	eventually(t, "the connection is lost", func() bool { return w.stepped("disconnected") })
	logged := w.logs.lines()
	seen := w.seen()
	s.Start(t)
	eventually(t, "the connection is back", func() bool { return w.with(func() bool { return w.connected }) })
	eventually(t, "figures come again", func() bool { return w.seen() > seen+2 })
	w.note(func() { clear(w.answered) })
	w.leader(t)
	client, err := aegistestv1aegis.NewProbeServiceClient(connectTo(t, url))
	require.NoError(t, err)
	_, err = client.Do(t.Context(), &testv1.DoRequest{})
	require.NoError(t, err)
	eventually(t, "a call is counted", func() bool { return w.requests("Do") == 1 })
	require.LessOrEqual(t, w.logs.lines()-logged, 4, "%s", w.logs)
	require.False(t, w.stepped("gone "+first.Process), "the leader was there all the time")
}

// counted returns the processes that have told what they have counted.
func (r *recorder) counted() (list []string) {
	r.note(func() {
		for process := range r.stats {
			list = append(list, process)
		}
	})
	return list
}

// seen returns how often figures came.
func (r *recorder) seen() (n int) {
	r.note(func() { n = r.statsSeen })
	return n
}

func TestWithoutJetStream(t *testing.T) {
	t.Parallel()
	s := startNATS(t, embednats.Options{})
	serveProbe(t, connectTo(t, s.ClientURL()), "a")
	w := watch(t, connectTo(t, s.ClientURL()))
	eventually(t, "figures come", func() bool { return len(w.counted()) == 1 })
	for _, name := range []monitorapi.SourceName{monitorapi.SourceLeaders, monitorapi.SourceWork, monitorapi.SourceDeadLetters} {
		eventually(t, string(name)+" is absent", func() bool { return w.is(name, monitorapi.SourceAbsent) })
		require.Contains(t, w.problem(name), "JetStream")
	}
	for _, name := range []monitorapi.SourceName{monitorapi.SourceInstances, monitorapi.SourceFigures} {
		eventually(t, string(name)+" is ready", func() bool { return w.is(name, monitorapi.SourceReady) })
	}
	eventually(t, "the connection has no JetStream", func() bool { return w.with(func() bool { return w.connected && !w.server.JetStream }) })
	ticks := 0
	w.note(func() { ticks = w.ticks })
	eventually(t, "some rounds have passed", func() bool { return w.with(func() bool { return w.ticks > ticks+4 }) })
	require.LessOrEqual(t, w.logs.lines(), 3, "one line for each source: %s", w.logs)
}
