package aegis_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

// follower is a LeaderService. Follow streams the term, again and again.
type follower struct{}

func (follower) OnLeading(context.Context, aegis.Term) error { return nil }

func (follower) Lead(ctx context.Context, _ *testv1.CountRequest) (*testv1.CountResponse, error) {
	t, _ := aegis.TermFromContext(ctx)
	return &testv1.CountResponse{Number: t.Token}, nil
}

func (follower) Haul(_ context.Context, req *testv1.LargeRequest) (*testv1.LargeResponse, error) {
	return bounce(req), nil
}

func (follower) Follow(ctx context.Context, _ *testv1.CountRequest, out countOut) error {
	t, _ := aegis.TermFromContext(ctx)
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for {
		if err := out.Send(&testv1.CountResponse{Number: t.Token}); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

// lead runs a LeaderService on a connection of its own.
func lead(t *testing.T, n *aegistest.NATS, name string) (*aegis.Conn, running) {
	t.Helper()
	conn := n.Connect(t, silent())
	srv, err := aegis.NewServer(conn, aegis.WithInstance(name), aegis.WithStreamGrace(0))
	require.NoError(t, err)
	require.NoError(t, aegistestv1aegis.RegisterLeaderServiceServer(srv, follower{}, fast))
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- srv.Run(ctx); close(done) }()
	t.Cleanup(func() {
		stop()
		for range done { // until it is closed
		}
	})
	eventually(t, "the server runs", func() bool { return srv.State() == aegis.StateRunning })
	return conn, running{srv, stop, done}
}

func leads(srv *aegis.Server) bool {
	for range srv.Leading() {
		return true
	}
	return false
}

// followTerm opens a stream and returns it with the term of its leader.
func followTerm(t *testing.T, client aegistestv1aegis.LeaderServiceClient) (countIn, uint64) {
	t.Helper()
	in, err := client.Follow(t.Context(), &testv1.CountRequest{})
	require.NoError(t, err)
	res, err := in.Recv()
	require.NoError(t, err)
	return in, res.GetNumber()
}

// ends reads a stream of one term to its end.
func ends(t *testing.T, in countIn, term uint64) *aegis.Error {
	t.Helper()
	for {
		res, err := in.Recv()
		if err != nil {
			return asError(t, err)
		}
		require.Equal(t, term, res.GetNumber())
	}
}

func TestLeadersStreamEndsWithItsTerm(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	servers := map[*aegis.Conn]running{}
	for _, name := range []string{"a", "b", "c"} {
		conn, srv := lead(t, n, name)
		servers[conn] = srv
	}
	leader := func() (*aegis.Conn, running) {
		for {
			for conn, srv := range servers {
				if leads(srv.Server) {
					return conn, srv
				}
			}
			time.Sleep(time.Millisecond)
		}
	}
	clientConn := n.Connect(t, silent())
	client, err := aegistestv1aegis.NewLeaderServiceClient(clientConn)
	require.NoError(t, err)

	in, first := followTerm(t, client)
	js, err := jetstream.New(clientConn.NATS())
	require.NoError(t, err)
	require.NoError(t, js.DeleteStream(t.Context(), "KV_aegis-leaders"))
	e := ends(t, in, first)
	require.Equal(t, aegis.ReasonLeadershipLost, e.Reason(), "the record is gone: %v", e)
	require.Equal(t, aegis.CodeAborted, e.Code())
	require.True(t, aegis.IsWireError(e))

	in, second := followTerm(t, client)
	require.Greater(t, second, first)
	conn, srv := leader()
	conn.NATS().Close()
	e = ends(t, in, second)
	require.Contains(t, []aegis.Code{aegis.CodeUnavailable, aegis.CodeAborted}, e.Code(), "the leader is gone: %v", e)
	require.False(t, aegis.IsWireError(e))
	require.Error(t, <-srv.done)
	delete(servers, conn)

	in, third := followTerm(t, client)
	require.Greater(t, third, second)
	_, srv = leader()
	srv.stop()
	e = ends(t, in, third)
	require.Equal(t, aegis.ReasonStopping, e.Reason(), "the leader stops: %v", e)
	require.NoError(t, <-srv.done)
}

func TestStreamToAStandbyIsNotActive(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	_, a := lead(t, n, "a")
	eventually(t, "it leads", func() bool { return leads(a.Server) })
	lead(t, n, "b")
	client, err := aegistestv1aegis.NewLeaderServiceClient(n.Connect(t, silent()))
	require.NoError(t, err)
	active := func(instance string) bool {
		in, err := client.Follow(t.Context(), &testv1.CountRequest{}, aegis.ToInstance(instance))
		if err != nil {
			require.ErrorIs(t, err, aegis.ErrNotActive)
			return false
		}
		require.NoError(t, in.Close())
		return true
	}
	// A leader that the machine held up leads no more for a moment, or the other one does.
	eventually(t, "one is active and one is not", func() bool { return active("a") != active("b") })
}

// Whom a call goes to and what size its messages have makes no difference to what
// its caller learns of the term.
func TestEveryCallSaysInWhichTermItWasHandled(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	_, srv := lead(t, n, "a")
	eventually(t, "it leads", func() bool { return leads(srv.Server) })
	// A leader that the machine held up leads no more for a moment, or in another term.
	says := func(what string, use func(context.Context) error) {
		eventually(t, what, func() bool {
			ctx, call := aegis.NewCall(t.Context())
			if err := use(ctx); err != nil {
				if asError(t, err).Reason() != aegis.ReasonLeadershipLost { // while the handler ran
					require.Equal(t, aegis.CodeUnavailable, aegis.CodeOf(err), "%v", err)
				}
				return false
			}
			for term := range srv.Leading() {
				term.Since = time.Time{}
				return call.Term() == term
			}
			return false
		})
	}
	client, err := aegistestv1aegis.NewLeaderServiceClient(n.Connect(t, silent()))
	require.NoError(t, err)
	for _, to := range [][]aegis.CallOption{nil, {aegis.ToInstance("a")}} {
		for name, req := range map[string]*testv1.LargeRequest{
			"small":         {Data: randomBytes(10)},
			"large reply":   {Bytes: 2_000_000},
			"large request": {Data: randomBytes(2_000_000), Bytes: 10},
		} {
			says(fmt.Sprint(name, ", directed: ", to != nil), func(ctx context.Context) error {
				_, err := client.Haul(ctx, req, to...)
				return err
			})
		}
		says(fmt.Sprint("stream, directed: ", to != nil), func(ctx context.Context) error {
			in, err := client.Follow(ctx, &testv1.CountRequest{}, to...)
			if err != nil {
				return err
			}
			return in.Close()
		})
	}
}
