package aegislog_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/aegisrpc/aegis/internal/leaktest"
	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegislog"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

func TestMain(m *testing.M) { leaktest.Run(m) }

const patience = 30 * time.Second

// book is a log that tests read.
type book struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *book) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

// lines returns the lines of a side, without what differs from run to run.
func (b *book) lines(t *testing.T, side string) (lines []map[string]any) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for text := range bytes.Lines(b.buf.Bytes()) {
		var line map[string]any
		require.NoError(t, json.Unmarshal(text, &line))
		if line["side"] != side {
			continue
		}
		require.Positive(t, line["duration"])
		delete(line, "duration")
		delete(line, "time")
		lines = append(lines, line)
	}
	return lines
}

// one waits for the one line of a side.
func (b *book) one(t *testing.T, side string) map[string]any {
	t.Helper()
	require.Eventually(t, func() bool { return len(b.lines(t, side)) == 1 }, patience, time.Millisecond)
	line := b.lines(t, side)[0]
	require.Equal(t, side, line["side"])
	delete(line, "side")
	return line
}

func (b *book) interceptor(t *testing.T, opts ...aegislog.Option) *aegislog.Interceptor {
	t.Helper()
	in, err := aegislog.New(slog.New(slog.NewJSONHandler(b, &slog.HandlerOptions{Level: slog.LevelDebug})), opts...)
	require.NoError(t, err)
	return in
}

type service struct {
	aegistestv1aegis.UnimplementedProbeServiceServer
	aegistestv1aegis.UnimplementedStreamServiceServer
	aegistestv1aegis.UnimplementedJobServiceServer
	aegistestv1aegis.UnimplementedBroadcastServiceServer
}

func (service) Get(_ context.Context, req *testv1.GetRequest) (*testv1.GetResponse, error) {
	switch req.GetText() {
	case "fail":
		return nil, aegis.NewError(aegis.CodeInternal, "the disk is full")
	case "panic":
		panic("no")
	}
	return &testv1.GetResponse{Text: "secret"}, nil
}

func (service) Count(_ context.Context, _ *testv1.CountRequest, out aegis.Sender[testv1.CountResponse]) error {
	return errors.Join(out.Send(&testv1.CountResponse{}), out.Send(&testv1.CountResponse{}))
}

func (service) Sum(_ context.Context, in aegis.Receiver[testv1.SumRequest]) (*testv1.SumResponse, error) {
	for _, err := range in.All() {
		if err != nil {
			return nil, err
		}
	}
	return &testv1.SumResponse{}, nil
}

func (service) Work(context.Context, *testv1.WorkRequest) (*testv1.WorkResponse, error) {
	return &testv1.WorkResponse{}, nil
}

func (service) Tell(context.Context, *testv1.TellRequest) (*testv1.TellResponse, error) {
	return &testv1.TellResponse{}, nil
}

// serve serves everything, logged in b, and returns the connection.
func serve(t *testing.T, in aegis.Interceptor) *aegis.Conn {
	t.Helper()
	conn := aegistest.Connect(t)
	aegistest.Serve(t, conn, func(srv *aegis.Server) error {
		var s service
		return errors.Join(
			aegistestv1aegis.RegisterProbeServiceServer(srv, s, aegis.WithUnimplemented()),
			aegistestv1aegis.RegisterStreamServiceServer(srv, s, aegis.WithUnimplemented()),
			aegistestv1aegis.RegisterJobServiceServer(srv, s, aegis.WithUnimplemented()),
			aegistestv1aegis.RegisterBroadcastServiceServer(srv, s),
			aegistestv1aegis.SubscribeEventServiceEvents(srv, aegistestv1aegis.EventServiceEvents{
				Stored: func(context.Context, *testv1.StoredRequest) error { return nil },
			}, aegis.EachInstance()),
		)
	}, aegis.WithInstance("a"), aegis.WithInterceptors(in))
	return conn
}

func probeClient(t *testing.T, conn *aegis.Conn, in aegis.Interceptor) aegistestv1aegis.ProbeServiceClient {
	t.Helper()
	client, err := aegistestv1aegis.NewProbeServiceClient(conn, aegis.WithInterceptors(in))
	require.NoError(t, err)
	return client
}

func TestOneLineForACall(t *testing.T) {
	t.Parallel()
	var b book
	in := b.interceptor(t)
	conn := serve(t, in)
	_, err := probeClient(t, conn, in).Get(t.Context(), &testv1.GetRequest{Text: "secret"})
	require.NoError(t, err)
	require.Equal(t, map[string]any{
		"level": "INFO", "msg": "aegis: call", "method": "aegistest.v1.ProbeService.Get", "pattern": "load_balanced",
		"code": "OK", "instance": "a",
	}, b.one(t, "server"))
	require.Equal(t, map[string]any{
		"level": "DEBUG", "msg": "aegis: call", "method": "aegistest.v1.ProbeService.Get", "pattern": "load_balanced", "code": "OK",
	}, b.one(t, "client"))
	require.NotContains(t, b.buf.String(), "secret")
}

func TestErrorsAndPanics(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"fail": "INTERNAL: the disk is full", "panic": "the handler has panicked or has ended its goroutine",
	} {
		var b book
		in := b.interceptor(t)
		_, err := probeClient(t, serve(t, in), in).Get(t.Context(), &testv1.GetRequest{Text: text})
		require.Equal(t, aegis.CodeInternal, aegis.CodeOf(err))
		line := b.one(t, "server")
		require.Equal(t, "ERROR", line["level"])
		require.Equal(t, "INTERNAL", line["code"])
		require.Equal(t, want, line["err"])
		require.Equal(t, "WARN", b.one(t, "client")["level"])
	}
}

func TestTheReasonIsLogged(t *testing.T) {
	t.Parallel()
	var b book
	_, err := probeClient(t, aegistest.Connect(t), b.interceptor(t)).Get(t.Context(), &testv1.GetRequest{})
	require.ErrorIs(t, err, aegis.ErrNoResponders)
	require.Equal(t, aegis.ReasonNoResponders, b.one(t, "client")["reason"])
}

func TestStreamsAreLoggedWhenTheyEnd(t *testing.T) {
	t.Parallel()
	var b book
	in := b.interceptor(t)
	client, err := aegistestv1aegis.NewStreamServiceClient(serve(t, in), aegis.WithInterceptors(in))
	require.NoError(t, err)
	numbers, err := client.Count(t.Context(), &testv1.CountRequest{})
	require.NoError(t, err)
	for _, err := range numbers.All() {
		require.NoError(t, err)
	}
	server, caller := b.one(t, "server"), b.one(t, "client")
	require.Equal(t, []any{"aegis: stream", "OK", 2.0, 1.0}, counts(server))
	require.Equal(t, []any{"aegis: stream", "OK", 1.0, 2.0}, counts(caller))
}

func counts(line map[string]any) []any {
	return []any{line["msg"], line["code"], line["sent"], line["received"]}
}

func TestUploadsAreCounted(t *testing.T) {
	t.Parallel()
	var b book
	in := b.interceptor(t)
	client, err := aegistestv1aegis.NewStreamServiceClient(serve(t, in), aegis.WithInterceptors(in))
	require.NoError(t, err)
	up, err := client.Sum(t.Context())
	require.NoError(t, err)
	for range 3 {
		require.NoError(t, up.Send(&testv1.SumRequest{}))
	}
	_, err = up.CloseAndRecv()
	require.NoError(t, err)
	require.Equal(t, []any{"aegis: stream", "OK", 1.0, 3.0}, counts(b.one(t, "server")))
	require.Equal(t, []any{"aegis: stream", "OK", 3.0, 1.0}, counts(b.one(t, "client")))
}

func TestAStreamThatIsGivenUpIsLogged(t *testing.T) {
	t.Parallel()
	var b book
	client, err := aegistestv1aegis.NewStreamServiceClient(serve(t, b.interceptor(t)), aegis.WithInterceptors(b.interceptor(t)))
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	_, err = client.Sum(ctx)
	require.NoError(t, err)
	stop()
	require.Equal(t, "CANCELLED", b.one(t, "client")["code"])
}

func TestBroadcastsEventsAndCommands(t *testing.T) {
	t.Parallel()
	var b book
	in := b.interceptor(t)
	conn := serve(t, in)
	all, err := aegistestv1aegis.NewBroadcastServiceClient(conn, aegis.WithInterceptors(in))
	require.NoError(t, err)
	for reply := range all.Tell(t.Context(), &testv1.TellRequest{}, aegis.UntilReplies(1)) {
		require.NoError(t, reply.Err)
	}
	require.Equal(t, []any{"aegis: broadcast", "OK", 1.0, 1.0}, counts(b.one(t, "client")))
	require.Equal(t, "broadcast", b.one(t, "server")["pattern"])

	pub, err := aegistestv1aegis.NewEventServicePublisher(conn, aegis.WithInterceptors(in))
	require.NoError(t, err)
	_, err = pub.Stored(t.Context(), &testv1.StoredRequest{})
	require.NoError(t, err)
	require.Equal(t, "aegis: event", b.one(t, "publisher")["msg"])
	require.Equal(t, "a", b.one(t, "subscriber")["instance"])

	jobs, err := aegistestv1aegis.NewJobServiceClient(conn)
	require.NoError(t, err)
	command, err := jobs.Work(t.Context(), &testv1.WorkRequest{})
	require.NoError(t, err)
	line := b.one(t, "worker")
	require.Equal(t, command.ID(), line["command"])
	require.Equal(t, "aegis: command", line["msg"])
}

func TestLevelsCanBeChosen(t *testing.T) {
	t.Parallel()
	var b book
	in := b.interceptor(t, aegislog.WithLevels(func(side aegis.Side, code aegis.Code) slog.Level {
		if side == aegis.SideServer && code == 0 {
			return slog.LevelDebug - 1 // which the logger leaves out
		}
		return slog.LevelError
	}))
	client := probeClient(t, serve(t, in), in)
	_, err := client.Get(t.Context(), &testv1.GetRequest{})
	require.NoError(t, err)
	require.Equal(t, "ERROR", b.one(t, "client")["level"])
	require.Empty(t, b.lines(t, "server"))
}

func TestDefaultLevels(t *testing.T) {
	t.Parallel()
	require.Equal(t, slog.LevelInfo, aegislog.DefaultLevels(aegis.SideWorker, 0))
	require.Equal(t, slog.LevelDebug, aegislog.DefaultLevels(aegis.SidePublisher, 0))
	for code := aegis.CodeCanceled; code <= aegis.CodeUnauthenticated; code++ {
		server := aegislog.DefaultLevels(aegis.SideServer, code)
		require.Equal(t, server-4, aegislog.DefaultLevels(aegis.SideClient, code))
		require.GreaterOrEqual(t, server, slog.LevelInfo)
	}
	require.Equal(t, slog.LevelError, aegislog.DefaultLevels(aegis.SideServer, aegis.CodeDataLoss))
	require.Equal(t, slog.LevelWarn, aegislog.DefaultLevels(aegis.SideServer, aegis.CodeUnavailable))
}

// An interceptor of a user may wrap this one without asking for the method.
func TestItLogsInsideAnInterceptorThatKnowsNoMethods(t *testing.T) {
	t.Parallel()
	var b book
	in := b.interceptor(t)
	conn := serve(t, aegis.InterceptorFunc(func(next aegis.UnaryFunc) aegis.UnaryFunc {
		next = in.WrapUnary(next)
		return func(ctx context.Context, req proto.Message) (proto.Message, error) { return next(ctx, req) }
	}))
	_, err := probeClient(t, conn, in).Get(t.Context(), &testv1.GetRequest{})
	require.NoError(t, err)
	require.Equal(t, "aegistest.v1.ProbeService.Get", b.one(t, "server")["method"])
}

func TestMistakesOfNew(t *testing.T) {
	t.Parallel()
	logger := slog.New(slog.DiscardHandler)
	_, err := aegislog.New(nil)
	require.EqualError(t, err, "aegislog: the logger is nil")
	_, err = aegislog.New(logger, nil)
	require.EqualError(t, err, "aegislog: an option is nil")
	_, err = aegislog.New(logger, aegislog.WithLevels(nil))
	require.EqualError(t, err, "aegislog: the levels are nil")
}
