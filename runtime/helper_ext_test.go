package aegis_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/aegisrpc/aegis/internal/wire"
	aegisv1 "github.com/aegisrpc/aegis/proto/aegis/v1"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
)

const (
	doSubject    = "aegis.call.aegistest.v1.ProbeService.Do"
	getSubject   = "aegis.call.aegistest.v1.ProbeService.Get"
	quickSubject = "aegis.call.aegistest.v1.ProbeService.Quick"

	// patience is for what should come at once, on a machine that has other
	// things to do.
	patience = 15 * time.Second
)

type (
	natsMsg = nats.Msg

	doFunc    = func(context.Context, *testv1.DoRequest) (*testv1.DoResponse, error)
	getFunc   = func(context.Context, *testv1.GetRequest) (*testv1.GetResponse, error)
	quickFunc = func(context.Context, *testv1.QuickRequest) (*testv1.QuickResponse, error)
	holdFunc  = func(context.Context, *testv1.HoldRequest) (*testv1.HoldResponse, error)
)

// probe is a ProbeService made of functions. A nil one returns the text that it
// was sent.
type probe struct {
	do    doFunc
	get   getFunc
	quick quickFunc
}

func (p probe) Do(ctx context.Context, req *testv1.DoRequest) (*testv1.DoResponse, error) {
	if p.do == nil {
		return &testv1.DoResponse{Text: req.GetText(), Data: req.GetData(), InstanceName: instanceOf(ctx)}, nil
	}
	return p.do(ctx, req)
}

func (p probe) Get(ctx context.Context, req *testv1.GetRequest) (*testv1.GetResponse, error) {
	if p.get == nil {
		return &testv1.GetResponse{Text: req.GetText()}, nil
	}
	return p.get(ctx, req)
}

func (p probe) Quick(ctx context.Context, req *testv1.QuickRequest) (*testv1.QuickResponse, error) {
	if p.quick == nil {
		return &testv1.QuickResponse{Text: req.GetText()}, nil
	}
	return p.quick(ctx, req)
}

func instanceOf(ctx context.Context) string {
	call, ok := aegis.CallFromContext(ctx)
	if !ok {
		return ""
	}
	return call.Instance()
}

type bounded struct{ hold holdFunc }

func (b bounded) Hold(ctx context.Context, req *testv1.HoldRequest) (*testv1.HoldResponse, error) {
	return b.hold(ctx, req)
}

// connect starts a NATS server and returns a connection that logs nothing.
func connect(t testing.TB, opts ...aegis.ConnOption) *aegis.Conn {
	t.Helper()
	return aegistest.Connect(t, append([]aegis.ConnOption{silent()}, opts...)...)
}

// another returns a further connection to the NATS server of conn.
func another(t testing.TB, conn *aegis.Conn, opts ...aegis.ConnOption) *aegis.Conn {
	t.Helper()
	return connectTo(t, conn.NATS().ConnectedUrl(), opts...)
}

func connectTo(t testing.TB, url string, opts ...aegis.ConnOption) *aegis.Conn {
	t.Helper()
	conn, err := aegis.Connect(t.Context(), url, append([]aegis.ConnOption{silent()}, opts...)...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close(context.Background())) })
	return conn
}

// plain returns a connection of nats.go alone to the NATS server of conn.
func plain(t testing.TB, conn *aegis.Conn) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(conn.NATS().ConnectedUrl())
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	return nc
}

func silent() aegis.LoggerOption { return aegis.WithLogger(slog.New(slog.DiscardHandler)) }

func serve(t testing.TB, conn *aegis.Conn, p probe, opts ...aegis.ServerOption) *aegis.Server {
	t.Helper()
	return serveWith(t, conn, p, nil, opts...)
}

func serveWith(t testing.TB, conn *aegis.Conn, p probe, service []aegis.ServiceOption, opts ...aegis.ServerOption) *aegis.Server {
	t.Helper()
	return aegistest.Serve(t, conn, func(srv *aegis.Server) error {
		return aegistestv1aegis.RegisterProbeServiceServer(srv, p, service...)
	}, opts...)
}

func serveBounded(t testing.TB, conn *aegis.Conn, hold holdFunc, opts ...aegis.ServerOption) {
	t.Helper()
	aegistest.Serve(t, conn, func(srv *aegis.Server) error {
		return aegistestv1aegis.RegisterBoundedServiceServer(srv, bounded{hold})
	}, opts...)
}

func newClient(t testing.TB, conn *aegis.Conn, opts ...aegis.ClientOption) aegistestv1aegis.ProbeServiceClient {
	t.Helper()
	client, err := aegistestv1aegis.NewProbeServiceClient(conn, opts...)
	require.NoError(t, err)
	return client
}

func newBoundedClient(t testing.TB, conn *aegis.Conn, opts ...aegis.ClientOption) aegistestv1aegis.BoundedServiceClient {
	t.Helper()
	client, err := aegistestv1aegis.NewBoundedServiceClient(conn, opts...)
	require.NoError(t, err)
	return client
}

func doRequest(text string) *testv1.DoRequest { return &testv1.DoRequest{Text: text} }

func getRequest(text string) *testv1.GetRequest { return &testv1.GetRequest{Text: text} }

func quickRequest(text string) *testv1.QuickRequest { return &testv1.QuickRequest{Text: text} }

// running is a server whose Run the test itself looks after.
type running struct {
	*aegis.Server
	stop context.CancelFunc
	done <-chan error
}

// run runs a server until stop is called, and returns when it serves.
func run(t testing.TB, conn *aegis.Conn, p probe, opts ...aegis.ServerOption) running {
	t.Helper()
	srv, err := aegis.NewServer(conn, opts...)
	require.NoError(t, err)
	require.NoError(t, aegistestv1aegis.RegisterProbeServiceServer(srv, p))
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- srv.Run(ctx) }()
	t.Cleanup(stop)
	eventually(t, "the server runs", func() bool { return srv.State() == aegis.StateRunning })
	return running{srv, stop, done}
}

// eventually waits until something is the case.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !is() {
		if time.Now().After(deadline) {
			t.Fatalf("after %v it is still not so: %s", patience, what)
		}
		time.Sleep(time.Millisecond)
	}
}

// receive waits for the next value of a channel.
func receive[T any](t testing.TB, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("nothing came within %v: %s", patience, what)
		panic("unreachable")
	}
}

// pending asserts that nothing has come on a channel so far.
func pending[T any](t testing.TB, what string, c <-chan T) {
	t.Helper()
	select {
	case v := <-c:
		t.Fatalf("%s: %v", what, v)
	default:
	}
}

type result[T any] struct {
	res T
	err error
}

// async calls f in a goroutine.
func async[T any](f func() (T, error)) <-chan result[T] {
	c := make(chan result[T], 1)
	go func() {
		res, err := f()
		c <- result[T]{res, err}
	}()
	return c
}

// asError returns the *aegis.Error in err.
func asError(t testing.TB, err error) *aegis.Error {
	t.Helper()
	var e *aegis.Error
	require.ErrorAs(t, err, &e)
	return e
}

// logs is what a logger has written.
type logs struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logs) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (l *logs) count(text string) int { return strings.Count(l.String(), text) }

// complaints are the lines at levels above INFO.
func (l *logs) complaints() (lines []string) {
	for line := range strings.Lines(l.String()) {
		if !strings.Contains(line, " level=INFO ") {
			lines = append(lines, line)
		}
	}
	return lines
}

func (l *logs) option() aegis.LoggerOption {
	return aegis.WithLogger(slog.New(slog.NewTextHandler(l, nil)))
}

// standIn answers a subject by hand, in place of a server.
type standIn struct {
	nc       *nats.Conn
	mu       sync.Mutex
	requests []*nats.Msg
}

// standInFor calls answer with each request and its number, from 1 on.
func standInFor(t testing.TB, conn *aegis.Conn, subject string, answer func(n int, msg *nats.Msg)) *standIn {
	t.Helper()
	nc := plain(t, conn)
	s := &standIn{nc: nc}
	_, err := nc.Subscribe(subject, func(msg *nats.Msg) { answer(s.add(msg), msg) })
	require.NoError(t, err)
	require.NoError(t, nc.Flush())
	t.Cleanup(func() { s.settle(t) }) // answer may use the test
	return s
}

// settle returns when answer has returned for what has reached the stand-in.
func (s *standIn) settle(t testing.TB) {
	t.Helper()
	answered := make(chan struct{})
	if s.nc.Barrier(func() { close(answered) }) == nil {
		receive(t, "the last answer", answered)
	}
}

func (s *standIn) add(msg *nats.Msg) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, msg)
	return len(s.requests)
}

// leave ends it; NATS knows when it returns.
func (s *standIn) leave(t testing.TB) {
	t.Helper()
	require.NoError(t, s.nc.Drain())
	eventually(t, "the stand-in is gone", s.nc.IsClosed)
}

func (s *standIn) count() int { return len(s.all()) }

func (s *standIn) all() []*nats.Msg {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*nats.Msg(nil), s.requests...)
}

// refuseWith answers as a server does that refuses a call.
func refuseWith(msg *nats.Msg, code aegis.Code, reason string) {
	body, _ := proto.Marshal(&aegisv1.Status{Code: int32(code), Message: "refused"})
	out := &nats.Msg{Data: body, Header: nats.Header{
		wire.HeaderServiceError:     {"refused"},
		wire.HeaderServiceErrorCode: {strconv.Itoa(int(code))},
	}}
	if reason != "" {
		out.Header[wire.HeaderReason] = []string{reason}
	}
	_ = msg.RespondMsg(out)
}

func answerWith(msg *nats.Msg, m proto.Message) {
	body, _ := proto.Marshal(m)
	_ = msg.Respond(body)
}

// spyOn returns the subjects of all messages on the bus from now on.
func spyOn(t testing.TB, conn *aegis.Conn) *standIn {
	t.Helper()
	return standInFor(t, conn, ">", func(int, *nats.Msg) {})
}

func (s *standIn) subjects(want func(subject string) bool) []string {
	var subjects []string
	for _, msg := range s.all() {
		if want(msg.Subject) {
			subjects = append(subjects, msg.Subject)
		}
	}
	return subjects
}

// exchanged returns how many requests there were to a subject, and how many replies to them.
// Servers have requests of their own meanwhile, as for their registration.
func (s *standIn) exchanged(subject string) (requests, replies int) {
	all, asked := s.all(), map[string]bool{}
	for _, msg := range all {
		if msg.Subject == subject {
			requests++
			asked[msg.Reply] = true
		}
	}
	for _, msg := range all { // a reply may come before its request
		if asked[msg.Subject] {
			replies++
		}
	}
	return requests, replies
}

// others returns the subjects of Aegis but one that messages went to, without those on which
// processes say by themselves that they live.
func (s *standIn) others(subject string) []string {
	return s.subjects(func(other string) bool {
		return strings.HasPrefix(other, "aegis.") && other != subject &&
			!strings.HasPrefix(other, "aegis.beat.") && !strings.HasPrefix(other, "aegis.live.")
	})
}

// unanswered leaves a request unanswered.
func unanswered(int, *nats.Msg) {}

var errWrong = errors.New("wrong")

func nan() float64 { return math.NaN() }

func durationOf(d time.Duration) *durationpb.Duration { return durationpb.New(d) }
