package aegis_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/health"
	"github.com/aegisrpc/aegis/runtime/health/httphealth"
	"github.com/aegisrpc/aegis/runtime/registry"
)

// askWeb returns what a probe answers.
func askWeb(t *testing.T, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer func() { require.NoError(t, res.Body.Close()) }()
	body := make([]byte, 4096)
	n, _ := res.Body.Read(body)
	return res.StatusCode, string(body[:n])
}

func TestAFailingCheckShowsEverywhere(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	var log logs
	var failing atomic.Pointer[string]
	db := func(context.Context) error {
		if text := failing.Load(); text != nil {
			return errors.New(*text)
		}
		return nil
	}
	srv := run(t, another(t, conn, log.option()), probe{}, aegis.WithInstance("a"), aegis.WithHeartbeat(quickBeat),
		aegis.WithMemoryLimit(1<<40), aegis.WithCheck("db", health.Needs(db)),
		aegis.WithCheck("queue", func(context.Context) health.Result { return health.Result{Penalty: 7, Reason: "long"} }))
	web := httptest.NewServer(httphealth.Handler(srv.Live, srv.Ready))
	t.Cleanup(web.Close)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	status, _ := askWeb(t, web.URL+httphealth.ReadyPath)
	require.Equal(t, http.StatusOK, status)
	eventually(t, "the registry has it as running", func() bool {
		instances, err := conn.Instances(t.Context(), probeName)
		return err == nil && len(instances) == 1 && instances[0].State == aegis.StateRunning
	})
	watch := watchInstances(t, conn, probeName)
	watch.tells("a joined")
	report := reportOf(t, conn, "a")
	score := 93.0
	if cpu := report.Usage.CPUPercent; cpu != nil && *cpu > 80 {
		score -= 10 // the tests keep the machine busy
	}
	require.InDelta(t, score, report.Score, 0)
	require.Equal(t, []health.Finding{{Check: "queue", Penalty: 7, Reason: "long"}}, report.Findings)

	text := "connection refused"
	failing.Store(&text)
	watch.tells("a condition changed")
	instances, err := conn.Instances(t.Context(), probeName)
	require.NoError(t, err)
	require.True(t, instances[0].Unhealthy)
	require.Equal(t, aegis.StateRunning, instances[0].State)
	require.False(t, instances[0].NoRespondersHidden)
	eventually(t, "the heartbeat says so too", func() bool {
		report = reportOf(t, conn, "a")
		return report.Unhealthy
	})
	require.Equal(t, health.Finding{Check: "db", Unhealthy: true, Reason: text}, report.Findings[0])
	status, body := askWeb(t, web.URL+httphealth.ReadyPath)
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Equal(t, "aegis: unhealthy by check \"db\": connection refused\n", body)
	status, _ = askWeb(t, web.URL+httphealth.LivePath)
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, 1, log.count("unhealthy and is not picked"))
	eventually(t, "the record says so", func() bool { return recordOf(t, conn, "a").Unhealthy })

	failing.Store(nil)
	watch.tells("a condition changed")
	status, _ = askWeb(t, web.URL+httphealth.ReadyPath)
	require.Equal(t, http.StatusOK, status)
	eventually(t, "the record says so", func() bool { return !recordOf(t, conn, "a").Unhealthy })

	srv.stop()
	require.NoError(t, receive(t, "Run returns", srv.done))
	status, body = askWeb(t, web.URL+httphealth.ReadyPath)
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Equal(t, "aegis: the server is STOPPED\n", body)
	status, _ = askWeb(t, web.URL+httphealth.LivePath)
	require.Equal(t, http.StatusServiceUnavailable, status)
}

// reportOf returns the first report of an instance that comes by heartbeat.
func reportOf(t *testing.T, conn *aegis.Conn, instance string) (report health.Report) {
	t.Helper()
	eventually(t, "a heartbeat comes", func() bool {
		instances, err := conn.Instances(t.Context(), probeName)
		require.NoError(t, err)
		for _, i := range instances {
			if r, ok := i.Health(); ok && i.Name == instance {
				report = r
				return true
			}
		}
		return false
	})
	return report
}

// recordOf reads the record of an instance from the bucket.
func recordOf(t *testing.T, conn *aegis.Conn, instance string) *registry.Record {
	t.Helper()
	js, err := jetstream.New(conn.NATS())
	require.NoError(t, err)
	kv, err := js.KeyValue(t.Context(), "aegis-registry")
	require.NoError(t, err)
	entry, err := kv.Get(t.Context(), probeName+"."+instance)
	require.NoError(t, err)
	record, err := registry.Decode(probeName, instance, entry.Value())
	require.NoError(t, err)
	return record
}

// The instance is unhealthy from its first heartbeat as RUNNING on, starts and
// stops all the same, and what hangs is asked once.
func TestChecksThatPanicOrHang(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	var asked atomic.Int64
	srv := run(t, conn, probe{}, aegis.WithInstance("a"), aegis.WithHeartbeat(quickBeat),
		aegis.WithCheck("hangs", func(context.Context) health.Result {
			asked.Add(1)
			<-release
			return health.Result{}
		}),
		aegis.WithCheck("panics", func(context.Context) health.Result { panic("boom") }))
	eventually(t, "it is seen to run", func() bool {
		instances, err := conn.Instances(t.Context(), probeName)
		require.NoError(t, err)
		if len(instances) == 0 || instances[0].State != aegis.StateRunning {
			return false
		}
		require.True(t, instances[0].Unhealthy)
		return true
	})
	want := []health.Finding{
		{Check: "hangs", Unhealthy: true, Reason: "no answer in time"},
		{Check: "panics", Unhealthy: true, Reason: "panic: boom"},
	}
	require.Equal(t, want, reportOf(t, conn, "a").Findings)
	require.ErrorContains(t, srv.Ready(t.Context()), `unhealthy by check "hangs": no answer in time`)
	_, err := newClient(t, conn).Do(t.Context(), doRequest(""))
	require.NoError(t, err, "the queue group knows nothing of it")
	srv.stop()
	require.NoError(t, receive(t, "Run returns", srv.done))
	require.EqualValues(t, 1, asked.Load())
}

func TestReadyFailsWithoutNATS(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	srv, err := aegis.NewServer(conn)
	require.NoError(t, err)
	require.EqualError(t, srv.Ready(t.Context()), "aegis: the server is INIT")
	require.NoError(t, srv.Live(t.Context()))
	r := startRestartable(t)
	far := connectTo(t, r.url)
	served := run(t, far, probe{})
	require.NoError(t, served.Ready(t.Context()))
	r.down(far)
	require.ErrorContains(t, served.Ready(t.Context()), "aegis: the connection to NATS is ")
	r.up()
	eventually(t, "it is back", func() bool { return served.Ready(t.Context()) == nil })
	served.stop()
	require.NoError(t, receive(t, "Run returns", served.done))
}

func TestWrongHealthOptions(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	well := func(context.Context) health.Result { return health.Result{} }
	for want, opts := range map[string][]aegis.ServerOption{
		"empty or taken":     {aegis.WithCheck("", well)},
		`empty or taken: "a`: {aegis.WithCheck("a", well), aegis.WithCheck("a", well)},
		"nil":                {aegis.WithCheck("a", health.Needs(nil))},
		"65 bytes":           {aegis.WithCheck(strings.Repeat("a", 65), well)},
		"memory limit of 0":  {aegis.WithMemoryLimit(0)},
	} {
		_, err := aegis.NewServer(conn, opts...)
		require.ErrorIs(t, err, aegis.ErrInvalidOption, want)
		require.ErrorContains(t, err, want)
	}
}

func TestMemoryOverTheLimitCostsPoints(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	srv := serve(t, conn, probe{}, aegis.WithMemoryLimit(1))
	report, _ := srv.Report(probeName)
	require.Equal(t, usageKnown, report.Score <= 90)
}
