package aegis_test

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// A handler that closes its receiver wakes who waits in it, and a reader never takes
// that for the end of what the client sends.
func TestReceiverThatAHandlerClosesWakesItsReader(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	ended := make(chan error, 2)
	serveStreams(t, conn, streams{chat: func(_ context.Context, in chatIn, out chatOut) error {
		reading := make(chan struct{})
		go func() {
			_, err := in.Recv()
			if err == nil {
				close(reading)
				_, err = in.Recv()
			}
			ended <- err
		}()
		<-reading
		if err := in.Close(); err != nil {
			return err
		}
		ended <- errors.Join(<-ended)
		_, err := in.Recv()
		ended <- err
		return out.Send(&testv1.ChatResponse{})
	}})
	chat, err := newStreamClient(t, another(t, conn)).Chat(t.Context())
	require.NoError(t, err)
	require.NoError(t, chat.Send(&testv1.ChatRequest{}))
	_, err = chat.Recv()
	require.NoError(t, err)
	for range 2 {
		require.Equal(t, aegis.CodeCanceled, aegis.CodeOf(receive(t, "the reader returns", ended)))
	}
	for range 1000 { // what nobody reads does not stop the client
		if err := chat.Send(&testv1.ChatRequest{}); err != nil {
			require.ErrorIs(t, err, io.EOF) // the handler has returned
			break
		}
	}
	require.NoError(t, chat.Close())
}

// A reader that goes on when the handler has returned has not read all.
func TestReaderThatOutlivesItsHandlerIsCanceled(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	ended, read := make(chan error, 1), make(chan struct{})
	serveStreams(t, conn, streams{chat: func(_ context.Context, in chatIn, _ chatOut) error {
		go func() {
			<-read
			_, err := in.Recv()
			ended <- err
		}()
		return nil
	}})
	chat, err := newStreamClient(t, another(t, conn)).Chat(t.Context())
	require.NoError(t, err)
	_, err = chat.Recv()
	require.ErrorIs(t, err, io.EOF)
	close(read)
	require.Equal(t, aegis.CodeCanceled, aegis.CodeOf(receive(t, "the reader returns", ended)))
	require.NoError(t, chat.CloseSend(), "there is nothing to close any more")
}

// gate dials connections unless it is shut.
type gate struct {
	shut atomic.Bool

	mu    sync.Mutex
	conns []net.Conn
}

func (g *gate) Dial(network, address string) (net.Conn, error) {
	if g.shut.Load() {
		return nil, io.ErrClosedPipe
	}
	c, err := net.Dial(network, address)
	if err == nil {
		g.mu.Lock()
		g.conns = append(g.conns, c)
		g.mu.Unlock()
	}
	return c, err
}

// close cuts all connections, and lets no new one through.
func (g *gate) close() {
	g.shut.Store(true)
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, c := range g.conns {
		_ = c.Close()
	}
}

// What a stream's handler sends first, or that it returns, waits for a connection
// that is away for a moment, with metadata as without.
func TestMetadataOfAStreamWaitsForTheConnection(t *testing.T) {
	t.Parallel()
	for name, finish := range map[string]func(chatOut) error{
		"with a message": func(out chatOut) error { return out.Send(&testv1.ChatResponse{}) },
		"alone":          func(chatOut) error { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := connect(t)
			var g gate
			serverConn := connectTo(t, conn.NATS().ConnectedUrl(), silent(), aegis.WithNATSOptions(nats.SetCustomDialer(&g)))
			begun, away := make(chan struct{}), make(chan struct{})
			serveStreams(t, serverConn, streams{chat: func(ctx context.Context, _ chatIn, out chatOut) error {
				close(begun)
				<-away
				call, _ := aegis.CallFromContext(ctx)
				call.ResponseHeader().Set("region", "eu")
				time.AfterFunc(100*time.Millisecond, func() { g.shut.Store(false) })
				return finish(out)
			}})
			chat, err := newStreamClient(t, conn).Chat(t.Context())
			require.NoError(t, err)
			receive(t, "it runs", begun)
			g.close()
			eventually(t, "the connection is away", func() bool { return !serverConn.NATS().IsConnected() })
			close(away)
			_, err = chat.Recv()
			if name == "alone" {
				require.ErrorIs(t, err, io.EOF)
			} else {
				require.NoError(t, err)
			}
			require.Equal(t, "eu", chat.Header().Get("region"))
			require.NoError(t, chat.Close())
		})
	}
}

// One attempt is one, of the open of a stream as well.
func TestMaxAttemptsBoundsTheOpenOfAStream(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	opens := standInFor(t, conn, "aegis.call.aegistest.v1.StreamService.Chat", func(_ int, msg *natsMsg) {
		refuseWith(msg, aegis.CodeUnavailable, aegis.ReasonStopping)
	})
	client := newStreamClient(t, another(t, conn))
	for attempts, options := range map[int][]aegis.CallOption{1: {aegis.MaxAttempts(1)}, 2: {aegis.MaxAttempts(2)}, 3: nil} {
		before := opens.count()
		_, err := client.Chat(t.Context(), options...)
		require.Equal(t, aegis.ReasonStopping, asError(t, err).Reason())
		require.Equal(t, attempts, opens.count()-before)
	}
}
