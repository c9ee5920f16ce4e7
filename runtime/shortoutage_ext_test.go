package aegis_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// cut has the NATS server close a connection, which it takes back at once.
func (r *restartable) cut(conn *aegis.Conn) {
	r.t.Helper()
	id, err := conn.NATS().GetClientID()
	require.NoError(r.t, err)
	require.NoError(r.t, r.DisconnectClientByID(id))
}

// blink does so, and returns when the connection is back.
func (r *restartable) blink(conn *aegis.Conn) {
	r.t.Helper()
	before := conn.NATS().Stats().Reconnects
	r.cut(conn)
	eventually(r.t, "it is back", func() bool { return conn.NATS().Stats().Reconnects > before && conn.NATS().IsConnected() })
}

func TestRepliesMadeDuringAShortOutageAreSent(t *testing.T) {
	t.Parallel()
	r := startRestartable(t)
	clientConn := connectTo(t, r.url)
	back := make(chan struct{})
	serverConn := connectTo(t, r.url, aegis.WithNATSOptions(nats.CustomReconnectDelay(func(int) time.Duration {
		<-back
		return time.Millisecond
	})))
	handling, finish := make(chan struct{}, 1), make(chan struct{})
	serve(t, serverConn, probe{do: func(context.Context, *testv1.DoRequest) (*testv1.DoResponse, error) {
		handling <- struct{}{}
		<-finish
		return &testv1.DoResponse{Text: "kept"}, nil
	}})
	client := newClient(t, clientConn)
	call := async(func() (*testv1.DoResponse, error) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
		defer cancel()
		return client.Do(ctx, doRequest(""))
	})
	receive(t, "the handler runs", handling)
	r.cut(serverConn)
	eventually(t, "it is down", func() bool { return !serverConn.NATS().IsConnected() })
	close(finish)
	eventually(t, "the reply is kept", func() bool { return serverConn.RepliesKept() == 1 })
	close(back)
	res := receive(t, "the reply", call)
	require.NoError(t, res.err)
	require.Equal(t, "kept", res.res.GetText())
}

// What leaders have announced meanwhile was missed.
func TestLeadersAreAskedForAgainAfterAShortOutage(t *testing.T) {
	t.Parallel()
	r := startRestartable(t)
	asked := standInFor(t, connectTo(t, r.url), whoSubject, func(_ int, msg *nats.Msg) {
		_ = msg.Respond([]byte(`{"term":7,"instance":"a"}`))
	})
	conn := connectTo(t, r.url)
	newOrders(t, conn)
	eventually(t, "it is asked who leads", func() bool { return asked.count() == 1 })
	for n := 2; n < 6; n++ {
		r.blink(conn)
		eventually(t, "it is asked again", func() bool { return asked.count() >= n })
	}
}

// Whoever reads the log has to know when there was no connection.
func TestOutagesAreInTheLog(t *testing.T) {
	t.Parallel()
	r := startRestartable(t)
	var log logs
	conn := connectTo(t, r.url, log.option())
	r.down(conn)
	eventually(t, "it is logged that the connection is down", func() bool { return log.count("the connection to NATS is down") == 1 })
	require.Contains(t, log.String(), "server="+r.url)
	r.up()
	eventually(t, "it is logged that it is up", func() bool { return log.count("the connection to NATS is up again") == 1 })
	for range 5 { // which are told together, once a minute
		r.blink(conn)
	}
	require.Equal(t, 1, log.count("is down"))
	require.Equal(t, 1, log.count("is up again"))
	require.NoError(t, conn.Close(context.Background()))
	require.Equal(t, 1, log.count("is down"), "nobody is told of an end that was wanted")
}
