package doctor

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/clitest"
	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.DiscardHandler)) // the services of the tests log there
	clitest.Main(m)
}

const (
	jobService    = "aegistest.v1.JobService"
	eventService  = "aegistest.v1.EventService"
	leaderService = "aegistest.v1.LeaderJobService"
	patience      = 30 * time.Second
)

// dial connects to a NATS server, and closes the connection when the test ends.
func dial(t testing.TB, url string, opts ...nats.Option) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(url, append(opts, nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))...)
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	return nc
}

func jetStream(t testing.TB, url string) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(dial(t, url))
	require.NoError(t, err)
	return js
}

func session(t testing.TB, url string, opts ...nats.Option) *Session {
	t.Helper()
	return newSession(sessionOptions{NATS: dial(t, url, opts...), Namespace: "aegis"})
}

// examine has checks look once, and returns what they find.
func examine(t testing.TB, s *Session, scope Scope, names ...string) []Finding {
	t.Helper()
	if scope.StuckAfter == 0 {
		scope.StuckAfter = defaultStuck
	}
	picked, err := pick(names)
	require.NoError(t, err)
	report := reportOf(runChecks(t.Context(), s, scope, picked, func(string) {}))
	for _, f := range report.findings() {
		check, word, _ := strings.Cut(f.ID, ".")
		i := slices.IndexFunc(picked, func(c Check) bool { return c.Name == check })
		require.GreaterOrEqual(t, i, 0, "%s is not of a check that runs", f.ID)
		require.Contains(t, picked[i].IDs, word, "the list of the check knows the finding")
		require.NotEmpty(t, f.Text)
		if f.Severity >= Unknown {
			require.NotEmpty(t, f.Remedy, "%+v says what to do", f)
		}
	}
	return report.findings()
}

// find returns the finding with an id, and with the subject unless that is "".
func find(t testing.TB, findings []Finding, id, subject string) Finding {
	t.Helper()
	for _, f := range findings {
		if f.ID == id && (subject == "" || f.Subject == subject) {
			return f
		}
	}
	require.Failf(t, "finding missing", "no %s %s in:\n%s", id, subject, texts(findings))
	return Finding{}
}

func texts(findings []Finding) string {
	var b strings.Builder
	p := painter{}
	for _, f := range findings {
		b.WriteString(p.finding(&f))
	}
	return b.String()
}

// quiet requires that nothing is worse than a limit.
func quiet(t testing.TB, findings []Finding, limit Severity) {
	t.Helper()
	for _, f := range findings {
		require.LessOrEqual(t, f.Severity, limit, "%s", texts([]Finding{f}))
	}
}

// becomes examines until the findings hold.
func becomes(t testing.TB, s *Session, scope Scope, holds func([]Finding) bool, names ...string) []Finding {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		found := examine(t, s, scope, names...)
		if holds(found) {
			return found
		}
		require.True(t, time.Now().Before(deadline), "the findings stay:\n%s", texts(found))
	}
}

func has(findings []Finding, id string, severity Severity) bool {
	return slices.ContainsFunc(findings, func(f Finding) bool { return f.ID == id && f.Severity == severity })
}

// jobs works commands with a function.
type jobs struct {
	aegistestv1aegis.UnimplementedJobServiceServer
	work func(context.Context) error
}

func (j jobs) Work(ctx context.Context, req *testv1.WorkRequest) (*testv1.WorkResponse, error) {
	return &testv1.WorkResponse{Text: req.GetText()}, j.work(ctx)
}

func done(context.Context) error { return nil }

func serveJobs(t testing.TB, conn *aegis.Conn, work func(context.Context) error, opts ...aegis.ServerOption) *aegis.Server {
	t.Helper()
	return aegistest.Serve(t, conn, func(srv *aegis.Server) error {
		return aegistestv1aegis.RegisterJobServiceServer(srv, jobs{work: work})
	}, opts...)
}

type leaders struct {
	aegistestv1aegis.UnimplementedLeaderJobServiceServer
	arrange func(context.Context)
}

func (l leaders) Arrange(ctx context.Context, _ *testv1.ArrangeRequest) (*testv1.ArrangeResponse, error) {
	l.arrange(ctx)
	return &testv1.ArrangeResponse{}, nil
}

func (leaders) OnLeading(context.Context, aegis.Term) error { return nil }

func serveLeaders(t testing.TB, conn *aegis.Conn, opts ...aegis.ServerOption) *aegis.Server {
	t.Helper()
	return serveLeadersWith(t, conn, func(context.Context) {}, opts...)
}

func serveLeadersWith(t testing.TB, conn *aegis.Conn, arrange func(context.Context), opts ...aegis.ServerOption) *aegis.Server {
	t.Helper()
	return aegistest.Serve(t, conn, func(srv *aegis.Server) error {
		return aegistestv1aegis.RegisterLeaderJobServiceServer(srv, leaders{arrange: arrange})
	}, opts...)
}

func arrange(t testing.TB, conn *aegis.Conn, n int) {
	t.Helper()
	client, err := aegistestv1aegis.NewLeaderJobServiceClient(conn)
	require.NoError(t, err)
	for range n {
		_, err := client.Arrange(t.Context(), &testv1.ArrangeRequest{})
		require.NoError(t, err)
	}
}

func subscribe(t testing.TB, conn *aegis.Conn, opts ...aegis.ServerOption) *aegis.Server {
	t.Helper()
	return aegistest.Serve(t, conn, subscriptions, opts...)
}

func subscriptions(srv *aegis.Server) error {
	return aegistestv1aegis.SubscribeEventServiceEvents(srv, aegistestv1aegis.EventServiceEvents{
		Stored: func(context.Context, *testv1.StoredRequest) error { return nil },
		Keyed:  func(context.Context, *testv1.KeyedRequest) error { return nil },
	}, aegis.Compete("mail"))
}

func send(t testing.TB, conn *aegis.Conn, n int) {
	t.Helper()
	client, err := aegistestv1aegis.NewJobServiceClient(conn)
	require.NoError(t, err)
	for range n {
		_, err := client.Work(t.Context(), &testv1.WorkRequest{})
		require.NoError(t, err)
	}
}

func publish(t testing.TB, conn *aegis.Conn, n int) {
	t.Helper()
	pub, err := aegistestv1aegis.NewEventServicePublisher(conn)
	require.NoError(t, err)
	for range n {
		_, err := pub.Stored(t.Context(), &testv1.StoredRequest{})
		require.NoError(t, err)
		_, err = pub.Keyed(t.Context(), &testv1.KeyedRequest{Key: "k"})
		require.NoError(t, err)
	}
}

// serveUntil serves until stop is called.
func serveUntil(t testing.TB, conn *aegis.Conn, register ...func(*aegis.Server) error) (stop func()) {
	t.Helper()
	running := make(chan struct{})
	srv, err := aegis.NewServer(conn, aegis.WithStateHook(func(s aegis.State) {
		if s == aegis.StateRunning {
			close(running)
		}
	}))
	require.NoError(t, err)
	for _, r := range register {
		require.NoError(t, r(srv))
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- srv.Run(ctx) }()
	select {
	case <-running:
	case <-time.After(patience):
		require.Fail(t, "the server does not run")
	}
	return func() {
		cancel()
		require.NoError(t, <-ended)
	}
}

// drained waits until all messages of a consumer, one at least, have been handled.
func drained(t testing.TB, js jetstream.JetStream, stream, name string) {
	t.Helper()
	require.Eventually(t, func() bool {
		c, err := js.Consumer(t.Context(), stream, name)
		if err != nil {
			return false
		}
		info := c.CachedInfo()
		return info.AckFloor.Consumer > 0 && info.NumPending == 0 && info.NumAckPending == 0
	}, patience, 10*time.Millisecond)
}

// withConfig starts a NATS server with a configuration; as returns its URL for a user
// whose password is pw.
func withConfig(t testing.TB, config string) (n *aegistest.NATS, as func(user string) string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "nats.conf")
	require.NoError(t, os.WriteFile(path, []byte(config), 0o600))
	n = aegistest.StartNATSWithConfig(t, path)
	as = func(user string) string { return strings.Replace(n.URL(), "://", "://"+user+":pw@", 1) }
	t.Cleanup(func() {
		// A nats-server that stops before it has looked at a request to its API may panic.
		nc, err := nats.Connect(as("all"))
		require.NoError(t, err)
		defer nc.Close()
		_, err = nc.Request("$JS.API.INFO", nil, patience)
		require.NoError(t, err)
	})
	return n, as
}

func connect(t testing.TB, url string, opts ...aegis.ConnOption) *aegis.Conn {
	t.Helper()
	conn, err := aegis.Connect(t.Context(), url, opts...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close(context.Background())) })
	return conn
}

// change changes the configuration of a stream as an administrator does.
func change(t testing.TB, js jetstream.JetStream, name string, edit func(*jetstream.StreamConfig)) {
	t.Helper()
	s, err := js.Stream(t.Context(), name)
	require.NoError(t, err)
	cfg := s.CachedInfo().Config
	edit(&cfg)
	_, err = js.UpdateStream(t.Context(), cfg)
	require.NoError(t, err)
}
