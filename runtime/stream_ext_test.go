package aegis_test

import (
	"context"
	"fmt"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	aegis "github.com/aegisrpc/aegis/runtime"
)

func TestServerStream(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	serveStreams(t, conn, streams{})
	client := newStreamClient(t, conn)
	for _, n := range []uint64{0, 1, 2, 4096, 16_384, 16_385, 50_000} {
		in, err := client.Count(t.Context(), &testv1.CountRequest{Numbers: n})
		require.NoError(t, err)
		got, err := readNumbers(t, in)
		require.NoError(t, err)
		require.Equal(t, n, got)
		_, err = in.Recv()
		require.Equal(t, io.EOF, err, "the end stays the end")
		require.NoError(t, in.Close())
	}
}

func TestClientStream(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	serveStreams(t, conn, streams{})
	client := newStreamClient(t, conn)
	for _, n := range []uint64{0, 1, 5000} {
		out, err := client.Sum(t.Context())
		require.NoError(t, err)
		for i := range n {
			require.NoError(t, out.Send(&testv1.SumRequest{Number: i}))
		}
		res, err := out.CloseAndRecv()
		require.NoError(t, err)
		require.Equal(t, n, res.GetNumbers())
		require.Equal(t, n*(max(n, 1)-1)/2, res.GetSum())
	}
}

// PEERS 8: 14 of 50 replies to client streams were lost.
func TestEveryClientStreamGetsItsReply(t *testing.T) {
	t.Parallel()
	const count = 50
	conn := connect(t)
	serveStreams(t, conn, streams{})
	client := newStreamClient(t, another(t, conn))
	sums := make(chan error, count)
	for i := range uint64(count) {
		go func() {
			out, err := client.Sum(t.Context())
			for range 2 {
				if err == nil {
					err = out.Send(&testv1.SumRequest{Number: i})
				}
			}
			if err != nil {
				sums <- err
				return
			}
			res, err := out.CloseAndRecv()
			if err == nil && (res.GetNumbers() != 2 || res.GetSum() != 2*i) {
				err = fmt.Errorf("twice %d is said to be %v", i, res)
			}
			sums <- err
		}()
	}
	for range count {
		require.NoError(t, receive(t, "a reply", sums))
	}
}

func TestBidiStream(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	serveStreams(t, conn, streams{})
	client := newStreamClient(t, conn)
	chat, err := client.Chat(t.Context())
	require.NoError(t, err)
	for i := range 18_000 { // more than a window
		text := fmt.Sprint("message ", i)
		require.NoError(t, chat.Send(&testv1.ChatRequest{Text: text}))
		res, err := chat.Recv()
		require.NoError(t, err)
		require.Equal(t, text, res.GetText())
	}
	require.NoError(t, chat.CloseSend())
	require.NoError(t, chat.CloseSend())
	_, err = chat.Recv()
	require.Equal(t, io.EOF, err)
	require.Equal(t, io.EOF, chat.Send(&testv1.ChatRequest{}))
}

// PEERS 8: a reader that was late got a cut stream, 200 times of 200.
func TestLateReaderGetsEverything(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	var returned counter
	serveStreams(t, conn, streams{count: func(ctx context.Context, req *testv1.CountRequest, out countOut) error {
		defer returned.add()
		return countUp(ctx, req, out)
	}})
	client := newStreamClient(t, another(t, conn))
	for i := range 200 {
		var in aegis.Receiver[testv1.CountResponse]
		eventually(t, "the machine is not too busy for it", func() (opened bool) {
			var err error
			in, err = client.Count(t.Context(), &testv1.CountRequest{Numbers: 100})
			if !stale(err) {
				require.NoError(t, err)
			}
			return err == nil
		})
		eventually(t, "the handler has returned", func() bool { return returned.get() == i+1 })
		n, err := readNumbers(t, in)
		require.NoError(t, err)
		require.EqualValues(t, 100, n, "stream %d", i)
	}
}

// PEERS 8: an error arrived as the end.
func TestHandlersErrorIsNotTheEnd(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	serveStreams(t, conn, streams{count: func(ctx context.Context, req *testv1.CountRequest, out countOut) error {
		if err := countUp(ctx, req, out); err != nil {
			return err
		}
		out.Trailer().Set("why", "because")
		return aegis.NewError(aegis.CodeNotFound, "no more numbers")
	}})
	client := newStreamClient(t, conn)
	for _, n := range []uint64{0, 3} {
		in, err := client.Count(t.Context(), &testv1.CountRequest{Numbers: n})
		require.NoError(t, err)
		got, err := readNumbers(t, in)
		require.Equal(t, n, got)
		require.Equal(t, aegis.CodeNotFound, aegis.CodeOf(err))
		require.True(t, aegis.IsWireError(err))
		require.Equal(t, "no more numbers", asError(t, err).Message())
		require.Equal(t, "because", in.Trailer().Get("why"))
	}
}

func TestMetadataOfStreams(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	serveStreams(t, conn, streams{
		chat: func(ctx context.Context, in chatIn, out chatOut) error {
			out.Header().Set("tenant", in.Header().Get("tenant")+"!")
			out.Header().Set("raw-bin", "\x00\xff")
			if err := echoChat(ctx, in, out); err != nil {
				return err
			}
			out.Trailer().Set("last", "word")
			return nil
		},
		sum: func(ctx context.Context, _ sumIn) (*testv1.SumResponse, error) {
			call, _ := aegis.CallFromContext(ctx)
			call.ResponseHeader().Set("echo", call.RequestHeader().Get("tenant"))
			return &testv1.SumResponse{}, nil
		},
	})
	client := newStreamClient(t, conn)
	ctx, call := aegis.NewCall(t.Context())
	call.RequestHeader().Set("tenant", "a")
	chat, err := client.Chat(ctx)
	require.NoError(t, err)
	require.Empty(t, chat.Header())
	require.NoError(t, chat.Send(&testv1.ChatRequest{Text: "x"}))
	_, err = chat.Recv()
	require.NoError(t, err)
	require.Equal(t, "a!", chat.Header().Get("tenant"))
	require.Equal(t, "\x00\xff", chat.Header().Get("raw-bin"))
	require.Equal(t, "a!", call.ResponseHeader().Get("tenant"))
	require.NoError(t, chat.CloseSend())
	_, err = chat.Recv()
	require.Equal(t, io.EOF, err)
	require.Equal(t, "word", chat.Trailer().Get("last"))
	require.Equal(t, "word", call.ResponseTrailer().Get("last"))

	out, err := client.Sum(ctx)
	require.NoError(t, err)
	_, err = out.CloseAndRecv()
	require.NoError(t, err)
	require.Equal(t, "a", call.ResponseHeader().Get("echo"))
}

// PEERS 2: nobody said so, and the stream hung to its deadline.
func TestStreamToNobody(t *testing.T) {
	t.Parallel()
	client := newStreamClient(t, connect(t))
	_, err := client.Count(t.Context(), &testv1.CountRequest{})
	require.ErrorIs(t, err, aegis.ErrNoResponders)
	_, err = client.Chat(t.Context())
	require.ErrorIs(t, err, aegis.ErrNoResponders)
}

func TestCanceledStream(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	ended := make(chan error, 4)
	serveStreams(t, conn, streams{count: func(ctx context.Context, req *testv1.CountRequest, out countOut) error {
		if err := countUp(ctx, req, out); err != nil {
			ended <- err // its context ended while it was sending
			return err
		}
		<-ctx.Done()
		ended <- ctx.Err()
		return ctx.Err()
	}})
	client := newStreamClient(t, another(t, conn))

	ctx, cancel := context.WithCancel(t.Context())
	in, err := client.Count(ctx, &testv1.CountRequest{Numbers: 1})
	require.NoError(t, err)
	_, err = in.Recv()
	require.NoError(t, err)
	waiting := async(in.Recv)
	cancel()
	require.Equal(t, aegis.CodeCanceled, aegis.CodeOf(receive(t, "Recv returns", waiting).err))
	require.Equal(t, context.Canceled, receive(t, "the handler's context ends", ended))

	in, err = client.Count(t.Context(), &testv1.CountRequest{Numbers: 5})
	require.NoError(t, err)
	require.NoError(t, in.Close())
	require.NoError(t, in.Close())
	require.Error(t, receive(t, "the handler's context ends", ended))
	_, err = in.Recv()
	require.Equal(t, aegis.CodeCanceled, aegis.CodeOf(err))
}
