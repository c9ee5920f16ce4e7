package aegis_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

// nothingKept waits until nobody holds anything for streams any more.
func nothingKept(t testing.TB, srv *aegis.Server, conns ...*aegis.Conn) {
	t.Helper()
	if srv != nil {
		eventually(t, "the server holds nothing", func() bool { return srv.StreamsKept() == 0 })
	}
	for _, c := range conns {
		eventually(t, "the connection holds nothing", func() bool { return c.StreamsKept() == 0 })
	}
}

// A reader that does not read holds up its writer, within the window, and nobody
// else.
func TestSlowReaderHoldsUpItsWriterOnly(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	var sent counter
	srv := serveStreams(t, conn, streams{count: func(_ context.Context, req *testv1.CountRequest, out countOut) error {
		for n := range req.GetNumbers() {
			if err := out.Send(&testv1.CountResponse{Number: n + 1, Data: req.GetData()}); err != nil {
				return err
			}
			if req.GetText() == "slow" {
				sent.add()
			}
		}
		return nil
	}})
	clientConn := another(t, conn)
	client := newStreamClient(t, clientConn)
	slow, err := client.Count(t.Context(), &testv1.CountRequest{Numbers: 1000, Text: "slow"}, aegis.WithStreamWindow(10, 1<<20))
	require.NoError(t, err)
	bytesOnly, err := client.Count(t.Context(), &testv1.CountRequest{Numbers: 1000, Data: make([]byte, 1000), Text: "slow"}, aegis.WithStreamWindow(1000, 5000))
	require.NoError(t, err)
	eventually(t, "the windows are full", func() bool { return sent.get() >= 15 })
	quick, err := client.Count(t.Context(), &testv1.CountRequest{Numbers: 20_000})
	require.NoError(t, err)
	n, err := readNumbers(t, quick)
	require.NoError(t, err)
	require.EqualValues(t, 20_000, n)
	require.Equal(t, 15, sent.get(), "10 messages, and 5 of a kilobyte")
	for _, in := range []countIn{slow, bytesOnly} {
		n, err = readNumbers(t, in)
		require.NoError(t, err)
		require.EqualValues(t, 1000, n)
	}
	nothingKept(t, srv, clientConn)
}

func TestSlowHandlerHoldsUpItsClientOnly(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	read := make(chan struct{})
	srv := serveStreams(t, conn, streams{sum: func(ctx context.Context, in sumIn) (*testv1.SumResponse, error) {
		<-read
		return streams{}.Sum(ctx, in)
	}}, aegis.WithStreamWindow(10, 1<<20))
	clientConn := another(t, conn)
	client := newStreamClient(t, clientConn)
	out, err := client.Sum(t.Context())
	require.NoError(t, err)
	var sent counter
	sum := async(func() (*testv1.SumResponse, error) {
		for range 1000 {
			if err := out.Send(&testv1.SumRequest{Number: 1}); err != nil {
				return nil, err
			}
			sent.add()
		}
		return out.CloseAndRecv()
	})
	eventually(t, "the window is full", func() bool { return sent.get() == 10 })
	chat, err := client.Chat(t.Context())
	require.NoError(t, err)
	for range 100 {
		require.NoError(t, chat.Send(&testv1.ChatRequest{}))
		_, err = chat.Recv()
		require.NoError(t, err)
	}
	require.NoError(t, chat.Close())
	require.Equal(t, 10, sent.get())
	close(read)
	res := receive(t, "the sum", sum)
	require.NoError(t, res.err)
	require.EqualValues(t, 1000, res.res.GetSum())
	nothingKept(t, srv, clientConn)
}

// PEERS 9: one open stream blocked all others of its instance, and its calls.
func TestStreamsTakeNoWorkers(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	aegistest.Serve(t, conn, func(srv *aegis.Server) error {
		return errors.Join(
			aegistestv1aegis.RegisterStreamServiceServer(srv, streams{count: hold}),
			aegistestv1aegis.RegisterBoundedServiceServer(srv, bounded{func(_ context.Context, req *testv1.HoldRequest) (*testv1.HoldResponse, error) {
				return &testv1.HoldResponse{Number: req.GetNumber()}, nil
			}}, aegis.WithMaxConcurrency(1)),
		)
	}, aegis.WithStreamGrace(0))
	client := newStreamClient(t, conn)
	for range 300 { // more than there are workers for the unary calls of both services
		_, err := client.Count(t.Context(), &testv1.CountRequest{})
		require.NoError(t, err)
		_, err = client.Chat(t.Context()) // whose handler waits for what never comes
		require.NoError(t, err)
	}
	chat, err := client.Chat(t.Context())
	require.NoError(t, err)
	require.NoError(t, chatAll(t, chat, 10))
	_, err = newBoundedClient(t, conn).Hold(t.Context(), &testv1.HoldRequest{})
	require.NoError(t, err)
}

func TestOpenStreamsAreBounded(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	srv := serveStreams(t, conn, streams{count: hold}, aegis.WithMaxStreams(3), aegis.WithStreamGrace(0))
	client := newStreamClient(t, conn)
	var open []countIn
	for range 3 {
		in, err := client.Count(t.Context(), &testv1.CountRequest{})
		require.NoError(t, err)
		open = append(open, in)
	}
	_, err := client.Count(t.Context(), &testv1.CountRequest{})
	require.Equal(t, aegis.CodeResourceExhausted, aegis.CodeOf(err))
	require.Equal(t, aegis.ReasonOverloaded, asError(t, err).Reason())
	require.True(t, aegis.IsWireError(err))
	for _, in := range open {
		require.NoError(t, in.Close())
	}
	nothingKept(t, srv, conn)
	_, err = client.Count(t.Context(), &testv1.CountRequest{})
	require.NoError(t, err)
}

func TestStoppingServerEndsStreamsAsStopping(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	finish := make(chan struct{})
	s := runStreams(t, conn, streams{
		count: hold,
		sum: func(ctx context.Context, in sumIn) (*testv1.SumResponse, error) {
			<-finish
			return streams{}.Sum(ctx, in)
		},
	}, aegis.WithStreamGrace(200*time.Millisecond))
	clientConn := another(t, conn)
	client := newStreamClient(t, clientConn)
	endless, err := client.Count(t.Context(), &testv1.CountRequest{})
	require.NoError(t, err)
	short, err := client.Sum(t.Context())
	require.NoError(t, err)
	require.NoError(t, short.Send(&testv1.SumRequest{Number: 7}))
	s.stop()
	eventually(t, "it stops", func() bool { return s.State() == aegis.StateStopping })
	close(finish)
	res, err := short.CloseAndRecv()
	require.NoError(t, err, "what ends by itself in time is finished")
	require.EqualValues(t, 7, res.GetSum())
	_, err = endless.Recv()
	require.Equal(t, aegis.CodeUnavailable, aegis.CodeOf(err))
	require.Equal(t, aegis.ReasonStopping, asError(t, err).Reason())
	require.True(t, aegis.IsWireError(err))
	require.NoError(t, receive(t, "Run returns", s.done))
	nothingKept(t, s.Server, clientConn)
}

func TestHandlersThatIgnoreTheStopAreNamed(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	release := make(chan struct{})
	defer close(release)
	s := runStreams(t, conn, streams{count: func(context.Context, *testv1.CountRequest, countOut) error {
		<-release
		return nil
	}}, aegis.WithStreamGrace(0), aegis.WithGracePeriod(50*time.Millisecond))
	in, err := newStreamClient(t, conn).Count(t.Context(), &testv1.CountRequest{})
	require.NoError(t, err)
	s.stop()
	_, err = in.Recv()
	require.Equal(t, aegis.ReasonStopping, asError(t, err).Reason())
	require.ErrorContains(t, receive(t, "Run returns", s.done), "aegistest.v1.StreamService.Count (1)")
}

// A client that vanishes is found out at once, for all its streams together. The test runs
// beside no other one, as it counts goroutines.
func TestClientThatVanishes(t *testing.T) { //nolint:paralleltest // see above
	const count = 1000
	conn := connect(t)
	var open, ended counter
	srv := serveStreams(t, conn, streams{chat: func(ctx context.Context, in chatIn, _ chatOut) error {
		open.add()
		_, err := in.Recv()
		if aegis.CodeOf(err) == aegis.CodeCanceled && ctx.Err() != nil {
			ended.add()
		}
		return err
	}})
	before := runtime.NumGoroutine()
	nc, err := nats.Connect(conn.NATS().ConnectedUrl())
	require.NoError(t, err)
	clientConn, err := aegis.NewConn(nc, silent())
	require.NoError(t, err)
	client := newStreamClient(t, clientConn)
	for range count {
		_, err := client.Chat(t.Context())
		require.NoError(t, err)
	}
	eventually(t, "all are open", func() bool { return open.get() == count })
	nc.Close()
	eventually(t, "all handlers know", func() bool { return ended.get() == count })
	nothingKept(t, srv, clientConn)
	require.NoError(t, clientConn.Close(context.Background()))
	eventually(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= before+5 })
}

func TestServerThatVanishes(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	nc, err := nats.Connect(conn.NATS().ConnectedUrl())
	require.NoError(t, err)
	serverConn, err := aegis.NewConn(nc, silent())
	require.NoError(t, err)
	srv, err := aegis.NewServer(serverConn)
	require.NoError(t, err)
	counted := make(chan error, 1)
	require.NoError(t, aegistestv1aegis.RegisterStreamServiceServer(srv, streams{count: func(ctx context.Context, req *testv1.CountRequest, out countOut) error {
		counted <- countUp(ctx, req, out)
		return hold(ctx, req, out)
	}}))
	done := make(chan error, 1)
	go func() { done <- srv.Run(context.Background()) }()
	eventually(t, "the server runs", func() bool { return srv.State() == aegis.StateRunning })
	client := newStreamClient(t, conn)
	in, err := client.Count(t.Context(), &testv1.CountRequest{Numbers: 5})
	require.NoError(t, err)
	require.NoError(t, receive(t, "all are sent", counted))
	chat, err := client.Chat(t.Context())
	require.NoError(t, err)
	require.NoError(t, chat.Send(&testv1.ChatRequest{}))
	_, err = chat.Recv() // behind all numbers
	require.NoError(t, err)
	nc.Close()
	n, err := readNumbers(t, in)
	require.EqualValues(t, 5, n, "what has come is read")
	require.Equal(t, aegis.CodeUnavailable, aegis.CodeOf(err))
	require.False(t, aegis.IsWireError(err))
	_, err = chat.Recv()
	require.Equal(t, aegis.CodeUnavailable, aegis.CodeOf(err))
	require.Equal(t, aegis.CodeUnavailable, aegis.CodeOf(chat.Send(&testv1.ChatRequest{})))
	require.ErrorIs(t, receive(t, "Run returns", done), aegis.ErrConnClosed)
	require.NoError(t, serverConn.Close(context.Background()))
	nothingKept(t, srv, conn)
}

// Somebody who listens to everything takes NATS's word away that nobody listens.
// Then silence tells.
func TestDeathIsNoticedWithATap(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	spyOn(t, conn)
	gone := make(chan struct{}, 1)
	srv := serveStreams(t, conn, streams{count: func(ctx context.Context, _ *testv1.CountRequest, _ countOut) error {
		<-ctx.Done()
		gone <- struct{}{}
		return ctx.Err()
	}})
	nc, err := nats.Connect(conn.NATS().ConnectedUrl())
	require.NoError(t, err)
	clientConn, err := aegis.NewConn(nc, silent())
	require.NoError(t, err)
	_, err = newStreamClient(t, clientConn).Count(t.Context(), &testv1.CountRequest{})
	require.NoError(t, err)
	nc.Close()
	receive(t, "the handler's context ends", gone)
	require.NoError(t, clientConn.Close(context.Background()))
	nothingKept(t, srv)
}

func TestIdleStreamsLiveOn(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	serveStreams(t, conn, streams{})
	bus := spyOn(t, conn)
	chat, err := newStreamClient(t, another(t, conn)).Chat(t.Context())
	require.NoError(t, err)
	asked := func() int {
		return len(bus.subjects(func(s string) bool { return len(s) > 4 && s[len(s)-5:] == ".live" }))
	}
	eventually(t, "both have been asked more often than silence would allow", func() bool { return asked() > 14 })
	stillThere(t, chat)
}

func TestDeadlinesOfStreams(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	left := make(chan time.Duration, 2)
	endless := make(chan bool, 1)
	srv := serveStreams(t, conn, streams{
		brief: func(ctx context.Context, in chatIn, _ chatOut) error {
			deadline, _ := ctx.Deadline()
			left <- time.Until(deadline)
			_, err := in.Recv()
			return err
		},
		chat: func(ctx context.Context, _ chatIn, _ chatOut) error {
			_, has := ctx.Deadline()
			endless <- !has
			return nil
		},
	})
	client := newStreamClient(t, conn)
	brief, err := client.Brief(t.Context())
	require.NoError(t, err)
	require.LessOrEqual(t, receive(t, "the method's timeout", left), 250*time.Millisecond)
	_, err = brief.Recv()
	require.Equal(t, aegis.CodeDeadlineExceeded, aegis.CodeOf(err))

	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	brief, err = client.Brief(ctx)
	require.NoError(t, err)
	require.Greater(t, receive(t, "the context's deadline", left), time.Minute)
	require.NoError(t, brief.Close())
	_, err = client.Chat(t.Context())
	require.NoError(t, err)
	require.True(t, receive(t, "a stream has no deadline", endless))
	nothingKept(t, srv, conn)
}

func TestPanicInAStreamHandler(t *testing.T) {
	t.Parallel()
	var log logs
	conn := connect(t)
	srv := serveStreams(t, conn, streams{
		count: func(ctx context.Context, req *testv1.CountRequest, out countOut) error {
			_ = countUp(ctx, req, out)
			panic("secret")
		},
		chat: func(context.Context, chatIn, chatOut) error {
			runtime.Goexit()
			return nil
		},
	}, log.option())
	client := newStreamClient(t, conn)
	in, err := client.Count(t.Context(), &testv1.CountRequest{Numbers: 3})
	require.NoError(t, err)
	n, err := readNumbers(t, in)
	require.EqualValues(t, 3, n)
	require.Equal(t, aegis.CodeInternal, aegis.CodeOf(err))
	require.NotContains(t, err.Error(), "secret")
	require.Equal(t, 1, log.count("secret"))
	chat, err := client.Chat(t.Context())
	require.NoError(t, err)
	_, err = chat.Recv()
	require.Equal(t, aegis.CodeInternal, aegis.CodeOf(err))
	nothingKept(t, srv, conn)
}

func TestHandlerThatReturnsWhileTheClientSends(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	srv := serveStreams(t, conn, streams{sum: func(_ context.Context, in sumIn) (*testv1.SumResponse, error) {
		if _, err := in.Recv(); err != nil {
			return nil, err
		}
		return nil, aegis.NewError(aegis.CodeOutOfRange, "enough")
	}})
	out, err := newStreamClient(t, conn).Sum(t.Context())
	require.NoError(t, err)
	for err == nil {
		err = out.Send(&testv1.SumRequest{Data: make([]byte, 1000)})
	}
	require.Equal(t, io.EOF, err)
	_, err = out.CloseAndRecv()
	require.Equal(t, aegis.CodeOutOfRange, aegis.CodeOf(err))
	nothingKept(t, srv, conn)
}

func TestHandlerThatStopsReading(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	srv := serveStreams(t, conn, streams{sum: func(ctx context.Context, in sumIn) (*testv1.SumResponse, error) {
		if _, err := in.Recv(); err != nil {
			return nil, err
		}
		if err := in.Close(); err != nil {
			return nil, err
		}
		if _, err := in.Recv(); aegis.CodeOf(err) != aegis.CodeCanceled {
			return nil, fmt.Errorf("after Close: %w", err)
		}
		<-ctx.Done()
		return nil, ctx.Err()
	}}, aegis.WithStreamWindow(10, 1000))
	ctx, cancel := context.WithCancel(t.Context())
	out, err := newStreamClient(t, conn).Sum(ctx)
	require.NoError(t, err)
	for range 1000 { // far more than a window
		require.NoError(t, out.Send(&testv1.SumRequest{Data: make([]byte, 100)}))
	}
	cancel()
	nothingKept(t, srv, conn)
}

func TestMessagesThatAreTooLargeLeaveTheStreamWhole(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	serveStreams(t, conn, streams{})
	chat, err := newStreamClient(t, conn).Chat(t.Context())
	require.NoError(t, err)
	large := make([]byte, conn.NATS().MaxPayload())
	for range 3 {
		err = chat.Send(&testv1.ChatRequest{Data: large})
		require.Equal(t, aegis.ReasonTooLarge, asError(t, err).Reason())
		require.NoError(t, chat.Send(&testv1.ChatRequest{Data: large[:len(large)-100]}))
		res, err := chat.Recv()
		require.NoError(t, err)
		require.Len(t, res.GetData(), len(large)-100)
	}
	require.NoError(t, chat.Close())
}

type seenBy struct{}

func TestStreamOptions(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	for name, opt := range map[string]aegis.ServerOption{
		"stream window of 0 messages and 1 bytes":         aegis.WithStreamWindow(0, 1),
		"stream window of 1 messages and -1 bytes":        aegis.WithStreamWindow(1, -1),
		"stream window of 1 messages and 1073741825 byte": aegis.WithStreamWindow(1, 1<<30+1),
		"max streams 0":        aegis.WithMaxStreams(0),
		"max streams 10000001": aegis.WithMaxStreams(10_000_001),
		"stream grace -1s":     aegis.WithStreamGrace(-time.Second),
	} {
		_, err := aegis.NewServer(conn, opt)
		require.ErrorIs(t, err, aegis.ErrInvalidOption)
		require.ErrorContains(t, err, name)
	}
	client := newStreamClient(t, conn)
	_, err := client.Count(t.Context(), nil, aegis.WithStreamWindow(-1, 1))
	require.Equal(t, aegis.CodeInvalidArgument, aegis.CodeOf(err))
}

// Any window works, the smallest too, with metadata before the messages.
func TestSmallestWindow(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	serveStreams(t, conn, streams{chat: func(ctx context.Context, in chatIn, out chatOut) error {
		out.Header().Set("a", "b")
		return echoChat(ctx, in, out)
	}}, aegis.WithStreamWindow(1, 1))
	chat, err := newStreamClient(t, conn).Chat(t.Context(), aegis.WithStreamWindow(1, 1))
	require.NoError(t, err)
	data := bytes.Repeat([]byte("x"), 1000)
	go func() {
		for range 200 {
			if chat.Send(&testv1.ChatRequest{Data: data}) != nil {
				return
			}
		}
		_ = chat.CloseSend()
	}()
	n := 0
	for res, err := range chat.All() {
		require.NoError(t, err)
		require.Equal(t, data, res.GetData())
		n++
	}
	require.Equal(t, 200, n)
}
