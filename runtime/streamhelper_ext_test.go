package aegis_test

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

type (
	countIn   = aegis.Receiver[testv1.CountResponse]
	countOut  = aegis.Sender[testv1.CountResponse]
	sumIn     = aegis.Receiver[testv1.SumRequest]
	chatIn    = aegis.Receiver[testv1.ChatRequest]
	chatOut   = aegis.Sender[testv1.ChatResponse]
	countFunc = func(context.Context, *testv1.CountRequest, countOut) error
	sumFunc   = func(context.Context, sumIn) (*testv1.SumResponse, error)
	chatFunc  = func(context.Context, chatIn, chatOut) error
)

// streams is a StreamService made of functions. A nil one does what the proto
// says.
type streams struct {
	count countFunc
	sum   sumFunc
	chat  chatFunc
	brief chatFunc
}

func (s streams) Count(ctx context.Context, req *testv1.CountRequest, out countOut) error {
	if s.count != nil {
		return s.count(ctx, req, out)
	}
	return countUp(ctx, req, out)
}

func countUp(_ context.Context, req *testv1.CountRequest, out countOut) error {
	for n := range req.GetNumbers() {
		if err := out.Send(&testv1.CountResponse{Number: n + 1, Data: req.GetData()}); err != nil {
			return err
		}
	}
	return nil
}

func (s streams) Sum(ctx context.Context, in sumIn) (*testv1.SumResponse, error) {
	if s.sum != nil {
		return s.sum(ctx, in)
	}
	res := &testv1.SumResponse{}
	for req, err := range in.All() {
		if err != nil {
			return nil, err
		}
		res.Sum += req.GetNumber()
		res.Numbers++
	}
	return res, nil
}

func (s streams) Chat(ctx context.Context, in chatIn, out chatOut) error {
	if s.chat != nil {
		return s.chat(ctx, in, out)
	}
	return echoChat(ctx, in, out)
}

func echoChat(_ context.Context, in chatIn, out chatOut) error {
	for req, err := range in.All() {
		if err != nil {
			return err
		}
		if err := out.Send(&testv1.ChatResponse{Text: req.GetText(), Data: req.GetData()}); err != nil {
			return err
		}
	}
	return nil
}

func (s streams) Brief(ctx context.Context, in chatIn, out chatOut) error {
	if s.brief != nil {
		return s.brief(ctx, in, out)
	}
	return echoChat(ctx, in, out)
}

func serveStreams(t testing.TB, conn *aegis.Conn, s streams, opts ...aegis.ServerOption) *aegis.Server {
	t.Helper()
	return aegistest.Serve(t, conn, func(srv *aegis.Server) error {
		return aegistestv1aegis.RegisterStreamServiceServer(srv, s)
	}, opts...)
}

// runStreams runs a server until stop is called, and returns when it serves.
func runStreams(t testing.TB, conn *aegis.Conn, s streams, opts ...aegis.ServerOption) running {
	t.Helper()
	srv, err := aegis.NewServer(conn, opts...)
	require.NoError(t, err)
	require.NoError(t, aegistestv1aegis.RegisterStreamServiceServer(srv, s))
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- srv.Run(ctx) }()
	t.Cleanup(stop)
	eventually(t, "the server runs", func() bool { return srv.State() == aegis.StateRunning })
	return running{srv, stop, done}
}

func newStreamClient(t testing.TB, conn *aegis.Conn, opts ...aegis.ClientOption) aegistestv1aegis.StreamServiceClient {
	t.Helper()
	client, err := aegistestv1aegis.NewStreamServiceClient(conn, opts...)
	require.NoError(t, err)
	return client
}

// readNumbers reads a stream of Count to its end and checks the numbers.
func readNumbers(t testing.TB, in countIn) (numbers uint64, err error) {
	t.Helper()
	for {
		res, err := in.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return numbers, nil
		case err != nil:
			return numbers, err
		}
		numbers++
		require.Equal(t, numbers, res.GetNumber())
	}
}

// hold is a handler that waits until its context ends.
func hold(ctx context.Context, _ *testv1.CountRequest, _ countOut) error {
	<-ctx.Done()
	return ctx.Err()
}

// counter counts in several goroutines.
type counter struct{ n atomic.Int64 }

func (c *counter) add()     { c.n.Add(1) }
func (c *counter) get() int { return int(c.n.Load()) }

// stillThere asserts that a stream to a handler that echoes lives, and closes it.
func stillThere(t testing.TB, chat aegis.BidiStream[testv1.ChatRequest, testv1.ChatResponse]) {
	t.Helper()
	require.NoError(t, chat.Send(&testv1.ChatRequest{Text: "still there"}))
	res, err := chat.Recv()
	require.NoError(t, err)
	require.Equal(t, "still there", res.GetText())
	require.NoError(t, chat.Close())
}
