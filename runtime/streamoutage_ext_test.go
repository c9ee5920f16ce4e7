package aegis_test

import (
	"context"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	aegis "github.com/aegisrpc/aegis/runtime"
)

func TestClosedConnectionEndsStreams(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	serveStreams(t, conn, streams{})
	nc, err := nats.Connect(conn.NATS().ConnectedUrl())
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	clientConn, err := aegis.NewConn(nc, silent())
	require.NoError(t, err)
	chat, err := newStreamClient(t, clientConn).Chat(t.Context())
	require.NoError(t, err)
	waiting := async(chat.Recv)
	require.NoError(t, clientConn.Close(context.Background()))
	require.ErrorIs(t, receive(t, "Recv returns", waiting).err, aegis.ErrConnClosed)
}

// The connection of one side is away for a moment, while nothing is under way.
func TestQuietStreamsOutliveAReconnect(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	serveStreams(t, conn, streams{})
	clientConn := another(t, conn)
	chat, err := newStreamClient(t, clientConn).Chat(t.Context())
	require.NoError(t, err)
	say := func(text string) {
		require.NoError(t, chat.Send(&testv1.ChatRequest{Text: text}))
		res, err := chat.Recv()
		require.NoError(t, err)
		require.Equal(t, text, res.GetText())
	}
	say("before")
	before := clientConn.NATS().Stats().Reconnects
	require.NoError(t, clientConn.NATS().ForceReconnect())
	eventually(t, "it is back", func() bool { return clientConn.NATS().Stats().Reconnects > before && clientConn.NATS().IsConnected() })
	say("after")
	require.NoError(t, chat.Close())
}

func TestStreamsOfAnOutageEnd(t *testing.T) {
	t.Parallel()
	restarted := startRestartable(t)
	serverConn, clientConn := connectTo(t, restarted.url), connectTo(t, restarted.url)
	ended := make(chan error, 1)
	srv := serveStreams(t, serverConn, streams{chat: func(_ context.Context, in chatIn, _ chatOut) error {
		_, err := in.Recv()
		ended <- err
		return err
	}})
	chat, err := newStreamClient(t, clientConn).Chat(t.Context())
	require.NoError(t, err)
	restarted.down(serverConn, clientConn)
	_, err = chat.Recv()
	require.Equal(t, aegis.CodeUnavailable, aegis.CodeOf(err))
	require.Equal(t, aegis.CodeCanceled, aegis.CodeOf(receive(t, "the handler's Recv returns", ended)))
	restarted.up()
	nothingKept(t, srv, clientConn)
}
