package aegis_test

import (
	"context"
	"fmt"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
)

const accountName = "aegistest.v1.AccountService"

type accounts struct{}

func (accounts) Touch(ctx context.Context, _ *testv1.TouchRequest) (*testv1.TouchResponse, error) {
	return &testv1.TouchResponse{InstanceName: instanceOf(ctx)}, nil
}

func serveAccounts(t *testing.T, conn *aegis.Conn, instance string) func() {
	t.Helper()
	srv, err := aegis.NewServer(conn, aegis.WithInstance(instance))
	require.NoError(t, err)
	require.NoError(t, aegistestv1aegis.RegisterAccountServiceServer(srv, accounts{}))
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- srv.Run(ctx) }()
	t.Cleanup(stop)
	eventually(t, "the server runs", func() bool { return srv.State() == aegis.StateRunning })
	return func() {
		stop()
		require.NoError(t, receive(t, "Run returns", done))
	}
}

// makeBucket has the bucket made, without which a new client listens for 2 s.
func makeBucket(t *testing.T, conn *aegis.Conn) {
	t.Helper()
	serveAccounts(t, conn, "bucket")()
}

func newAccounts(t *testing.T, conn *aegis.Conn, opts ...aegis.ClientOption) aegistestv1aegis.AccountServiceClient {
	t.Helper()
	client, err := aegistestv1aegis.NewAccountServiceClient(conn, opts...)
	require.NoError(t, err)
	return client
}

func touch(t *testing.T, client aegistestv1aegis.AccountServiceClient, id string, opts ...aegis.CallOption) string {
	t.Helper()
	res, err := client.Touch(t.Context(), &testv1.TouchRequest{Account: &testv1.Account{Id: id}}, opts...)
	require.NoError(t, err)
	return res.GetInstanceName()
}

// homes returns which instance has each of 200 keys. Each call is one attempt: an
// instance whose process was paused refuses it, and another one would take it.
func homes(t *testing.T, client aegistestv1aegis.AccountServiceClient) map[string]string {
	t.Helper()
	m := map[string]string{}
	for i := range 200 {
		key := fmt.Sprintf("account-%d", i)
		req := &testv1.TouchRequest{Account: &testv1.Account{Id: key}}
		eventually(t, "the call is taken", func() bool {
			res, err := client.Touch(t.Context(), req, aegis.MaxAttempts(1))
			m[key] = res.GetInstanceName()
			return err == nil
		})
	}
	return m
}

func TestKeysStayWhereTheyAreWhenInstancesComeAndGo(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	caller, other := another(t, conn), another(t, conn)
	var running []string
	stops := map[string]func(){}
	start := func(name string) {
		stops[name] = serveAccounts(t, conn, name)
		running = append(running, name+" RUNNING")
		shows(t, caller, accountName, running...)
		shows(t, other, accountName, running...)
	}
	for _, name := range []string{"a", "b", "c", "d"} {
		start(name)
	}
	client := newAccounts(t, caller)
	four := homes(t, client)
	require.Equal(t, four, homes(t, newAccounts(t, other)), "all clients agree")

	start("e")
	five := homes(t, client)
	moved := 0
	for key, home := range five {
		if home != four[key] {
			moved++
			require.Equal(t, "e", home, "keys move to the newcomer alone")
		}
	}
	t.Logf("%d of 200 keys moved when a fifth instance joined", moved)
	require.Less(t, moved, 80, "a fifth of them, more or less")
	require.Positive(t, moved)

	stops["b"]()
	shows(t, caller, accountName, "a RUNNING", "c RUNNING", "d RUNNING", "e RUNNING")
	moved = 0
	for key, home := range homes(t, client) {
		if home != five[key] {
			moved++
			require.Equal(t, "b", five[key], "only the keys of the one that left move")
		}
	}
	require.Positive(t, moved)
}

func TestTheCallsKeyWinsOverTheFields(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	for _, name := range []string{"a", "b", "c", "d"} {
		serveAccounts(t, conn, name)
	}
	shows(t, conn, accountName, "a RUNNING", "b RUNNING", "c RUNNING", "d RUNNING")
	client := newAccounts(t, conn)
	same := map[string]bool{}
	for i := range 50 {
		same[touch(t, client, strconv.Itoa(i), aegis.StickyKey("one"))] = true
	}
	require.Len(t, same, 1)
	require.Equal(t, touch(t, client, "two"), touch(t, client, "", aegis.StickyKey("two")))

	others := map[string]bool{}
	byTurn := newAccounts(t, conn, aegis.RoundRobin())
	for range 8 {
		others[touch(t, byTurn, "one")] = true
	}
	require.Len(t, others, 4, "the client selects in another way")
	_, err := client.Touch(t.Context(), &testv1.TouchRequest{}, aegis.StickyKey(""))
	require.ErrorIs(t, err, aegis.ErrInvalidOption)
	require.Equal(t, aegis.CodeInvalidArgument, aegis.CodeOf(err))
}

// PEERS 1: the instance of a key is known before the call, so that the call is a
// request and a reply and nothing else.
func TestAStickyCallIsTwoMessages(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	for _, name := range []string{"a", "b", "c"} {
		serveAccounts(t, conn, name)
	}
	caller := another(t, conn)
	client := newAccounts(t, caller)
	home := touch(t, client, "k")
	eventually(t, "the void probes are over", func() bool { return caller.ProbedVoid() && conn.ProbedVoid() })
	spy := spyOn(t, conn)
	const calls = 20
	for range calls {
		require.Equal(t, home, touch(t, client, "k"))
	}
	subject := "aegis.inst." + home + "." + accountName + ".Touch"
	eventually(t, "the spy has seen it all", func() bool { _, replies := spy.exchanged(subject); return replies >= calls })
	requests, replies := spy.exchanged(subject)
	require.Equal(t, calls, requests)
	require.Equal(t, calls, replies)
	require.Empty(t, spy.others(subject))
}
