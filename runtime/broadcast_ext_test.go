package aegis_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

type tellFunc func(context.Context, *testv1.TellRequest) (*testv1.TellResponse, error)

func (f tellFunc) Tell(ctx context.Context, req *testv1.TellRequest) (*testv1.TellResponse, error) {
	return f(ctx, req)
}

func tell(ctx context.Context, _ *testv1.TellRequest) (*testv1.TellResponse, error) {
	return &testv1.TellResponse{InstanceName: instanceOf(ctx)}, nil
}

func serveTell(t testing.TB, conn *aegis.Conn, name string, f tellFunc, opts ...aegis.ServiceOption) *aegis.Server {
	t.Helper()
	return aegistest.Serve(t, conn, func(srv *aegis.Server) error {
		return aegistestv1aegis.RegisterBroadcastServiceServer(srv, f, opts...)
	}, aegis.WithInstance(name))
}

func newTeller(t testing.TB, conn *aegis.Conn, opts ...aegis.ClientOption) aegistestv1aegis.BroadcastServiceClient {
	t.Helper()
	client, err := aegistestv1aegis.NewBroadcastServiceClient(conn, opts...)
	require.NoError(t, err)
	return client
}

// known waits until a connection knows of so many instances.
func known(t testing.TB, conn *aegis.Conn, service string, n int) {
	t.Helper()
	eventually(t, fmt.Sprint(n, " instances are known"), func() bool {
		instances, err := conn.Instances(t.Context(), service)
		require.NoError(t, err)
		running := 0
		for _, i := range instances {
			if i.State == aegis.StateRunning {
				running++
			}
		}
		return running == n
	})
}

// replies are the replies of a broadcast, by instance.
func replies(ctx context.Context, t testing.TB, client aegistestv1aegis.BroadcastServiceClient, opts ...aegis.CallOption) map[string]aegis.Reply[testv1.TellResponse] {
	t.Helper()
	got := map[string]aegis.Reply[testv1.TellResponse]{}
	for r := range client.Tell(ctx, &testv1.TellRequest{}, opts...) {
		require.NotContains(t, got, r.Instance)
		got[r.Instance] = r
	}
	return got
}

const teller = aegistestv1aegis.BroadcastServiceName

// PEERS 3: all replies had come, and the end came with the timeout.
func TestBroadcastReachesAll(t *testing.T) {
	t.Parallel()
	const count = 50
	conn := connect(t)
	for i := range count {
		serveTell(t, conn, fmt.Sprint("i", i), tell)
	}
	clientConn := another(t, conn)
	known(t, clientConn, teller, count)
	client := newTeller(t, clientConn)
	for range 3 {
		eventually(t, "none was paused, and all answer", func() bool { return allAnswer(t, client, count) })
	}
}

// allAnswer reports whether no instance has refused because its process was
// paused, as happens on a busy machine.
func allAnswer(t *testing.T, client aegistestv1aegis.BroadcastServiceClient, count int) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 100*patience)
	defer cancel()
	got := replies(ctx, t, client)
	require.NoError(t, ctx.Err())
	require.Len(t, got, count)
	for name, r := range got {
		if r.Err != nil && asError(t, r.Err).Reason() == aegis.ReasonStale {
			return false
		}
		require.NoError(t, r.Err)
		require.Equal(t, name, r.Msg.GetInstanceName())
	}
	return true
}

func TestBroadcastNamesWhoIsMissingAndWhy(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	release := make(chan struct{})
	stuck := func(ctx context.Context, _ *testv1.TellRequest) (*testv1.TellResponse, error) {
		<-release
		return nil, ctx.Err()
	}
	serveTell(t, conn, "good", tell)
	serveTell(t, conn, "late", stuck)
	serveTell(t, conn, "bad", func(context.Context, *testv1.TellRequest) (*testv1.TellResponse, error) {
		return nil, aegis.NewError(aegis.CodeFailedPrecondition, "not today")
	})
	panicking := serveTell(t, another(t, conn), "panics", func(context.Context, *testv1.TellRequest) (*testv1.TellResponse, error) { panic("!") })
	t.Cleanup(func() { close(release) })
	known(t, conn, teller, 4)
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	got := replies(ctx, t, newTeller(t, conn))
	require.Len(t, got, 4)
	require.NoError(t, got["good"].Err)
	require.Equal(t, aegis.CodeFailedPrecondition, aegis.CodeOf(got["bad"].Err))
	require.True(t, aegis.IsWireError(got["bad"].Err))
	require.Equal(t, aegis.CodeInternal, aegis.CodeOf(got["panics"].Err))
	require.Equal(t, aegis.CodeDeadlineExceeded, aegis.CodeOf(got["late"].Err))
	require.False(t, aegis.IsWireError(got["late"].Err))
	require.Nil(t, got["late"].Msg)
	require.Equal(t, aegis.StateRunning, panicking.State())
}

// An instance that dies during the broadcast is not waited for.
func TestBroadcastDropsTheDead(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	serveTell(t, conn, "alive", tell)
	nc, err := nats.Connect(conn.NATS().ConnectedUrl())
	require.NoError(t, err)
	dying, err := aegis.NewConn(nc, silent())
	require.NoError(t, err)
	serveTell(t, dying, "dead", func(ctx context.Context, _ *testv1.TellRequest) (*testv1.TellResponse, error) {
		nc.Close()
		return nil, ctx.Err()
	})
	t.Cleanup(func() { _ = dying.Close(context.Background()) })
	known(t, conn, teller, 2)
	ctx, cancel := context.WithTimeout(t.Context(), 100*patience)
	defer cancel()
	got := replies(ctx, t, newTeller(t, conn))
	require.NoError(t, ctx.Err())
	require.Len(t, got, 2)
	require.NoError(t, got["alive"].Err)
	require.Equal(t, aegis.CodeUnavailable, aegis.CodeOf(got["dead"].Err))
	require.False(t, aegis.IsWireError(got["dead"].Err))
}

func TestBroadcastThatIsLeftEarly(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	ended := make(chan error, 1)
	running := make(chan struct{})
	serveTell(t, conn, "quick", func(ctx context.Context, req *testv1.TellRequest) (*testv1.TellResponse, error) {
		<-running
		return tell(ctx, req)
	})
	serveTell(t, conn, "slow", func(ctx context.Context, _ *testv1.TellRequest) (*testv1.TellResponse, error) {
		close(running)
		<-ctx.Done()
		ended <- ctx.Err()
		return nil, ctx.Err()
	})
	known(t, conn, teller, 2)
	for r := range newTeller(t, conn).Tell(t.Context(), &testv1.TellRequest{}) {
		require.NoError(t, r.Err)
		require.Equal(t, "quick", r.Instance)
		break
	}
	require.Equal(t, context.Canceled, receive(t, "the handler's context ends", ended))
}

func TestCanceledBroadcast(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	running := make(chan struct{})
	serveTell(t, conn, "slow", func(ctx context.Context, _ *testv1.TellRequest) (*testv1.TellResponse, error) {
		close(running)
		<-ctx.Done()
		return nil, ctx.Err()
	})
	known(t, conn, teller, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-running; cancel() }()
	got := replies(ctx, t, newTeller(t, conn))
	require.Len(t, got, 1)
	require.Equal(t, aegis.CodeCanceled, aegis.CodeOf(got[""].Err))
}

func TestBroadcastStopRules(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	conn := n.Connect(t, silent())
	for i := range 5 {
		serveTell(t, conn, fmt.Sprint("i", i), tell)
	}
	client := newTeller(t, n.Connect(t, silent()))
	ctx, cancel := context.WithTimeout(t.Context(), 100*patience)
	defer cancel()
	require.Len(t, replies(ctx, t, client, aegis.UntilReplies(3)), 3)
	require.Len(t, replies(ctx, t, client, aegis.UntilReplies(5)), 5)
	require.Len(t, replies(ctx, t, client, aegis.UntilSilence(2*time.Second)), 5)
	require.Len(t, replies(ctx, t, client, aegis.UntilSilence(2*time.Second), aegis.UntilReplies(10)), 5)
	require.Len(t, replies(ctx, t, client, aegis.UntilSilence(time.Hour), aegis.UntilReplies(2)), 2)
	require.NoError(t, ctx.Err())
	for _, o := range []aegis.CallOption{aegis.UntilReplies(0), aegis.UntilReplies(1_000_001), aegis.UntilSilence(0), aegis.ToInstance("i1")} {
		got := replies(ctx, t, client, o)
		require.Len(t, got, 1)
		require.Equal(t, aegis.CodeInvalidArgument, aegis.CodeOf(got[""].Err))
	}
}

func TestBroadcastToNobody(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	for _, o := range [][]aegis.CallOption{nil, {aegis.UntilReplies(2)}, {aegis.UntilSilence(time.Hour)}} {
		got := replies(t.Context(), t, newTeller(t, conn), o...)
		require.Len(t, got, 1)
		require.ErrorIs(t, got[""].Err, aegis.ErrNoResponders)
	}
}

// A refusal says whose it is, as a reply does.
func TestBroadcastToABusyInstance(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	held := make(chan struct{})
	running := make(chan struct{}, 1)
	serveTell(t, conn, "busy", func(ctx context.Context, req *testv1.TellRequest) (*testv1.TellResponse, error) {
		running <- struct{}{}
		<-held
		return tell(ctx, req)
	}, aegis.WithMaxConcurrency(1))
	known(t, conn, teller, 1)
	client := newTeller(t, conn)
	first := async(func() (map[string]aegis.Reply[testv1.TellResponse], error) {
		return replies(t.Context(), t, client), nil
	})
	receive(t, "the first runs", running)
	got := replies(t.Context(), t, client)
	require.Equal(t, aegis.ReasonOverloaded, asError(t, got["busy"].Err).Reason())
	close(held)
	require.NoError(t, receive(t, "the first is answered", first).res["busy"].Err)
}

// What answers a broadcast by hand: twice, without a name, with rubbish.
func TestRepliesThatAreNone(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	serveTell(t, conn, "real", tell)
	known(t, conn, teller, 1)
	standInFor(t, conn, "aegis.all.aegistest.v1.BroadcastService.Tell", func(_ int, msg *nats.Msg) {
		for _, header := range []nats.Header{nil, {"Aegis-Instance": {"fake"}}, {"Aegis-Instance": {"fake"}}} {
			_ = msg.RespondMsg(&nats.Msg{Header: header, Data: []byte{0xff}})
		}
	})
	got := replies(t.Context(), t, newTeller(t, conn), aegis.UntilReplies(2))
	require.Len(t, got, 2)
	require.NoError(t, got["real"].Err)
	require.Equal(t, aegis.CodeInternal, aegis.CodeOf(got["fake"].Err))
}

func TestInterceptorsOfBroadcasts(t *testing.T) {
	t.Parallel()
	var tap streamTap
	conn := connect(t)
	var tenant atomic.Value
	for _, name := range []string{"a", "b"} {
		serveTell(t, conn, name, func(ctx context.Context, req *testv1.TellRequest) (*testv1.TellResponse, error) {
			call, _ := aegis.CallFromContext(ctx)
			tenant.Store(strings.Join(call.RequestHeader().Values("via"), ","))
			return tell(ctx, req)
		})
	}
	known(t, conn, teller, 2)
	require.Len(t, replies(t.Context(), t, newTeller(t, conn, tap.as("one"))), 2)
	require.Equal(t, "one", tenant.Load())
	slices.Sort(tap.steps)
	require.Equal(t, []string{
		"one opens Tell", "one receives TellResponse: <nil>", "one receives TellResponse: <nil>",
		"one receives TellResponse: EOF", "one sends TellRequest",
	}, tap.steps)
}
