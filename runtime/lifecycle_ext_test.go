package aegis_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
)

func TestStatesComeInOrder(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var first, second []aegis.State
	record := func(to *[]aegis.State) func(aegis.State) {
		return func(s aegis.State) {
			mu.Lock()
			defer mu.Unlock()
			*to = append(*to, s)
			require.GreaterOrEqual(t, len(first), len(second), "hooks run in the order given")
		}
	}
	srv := run(t, connect(t), probe{}, aegis.WithStateHook(record(&first)), aegis.WithStateHook(record(&second)))
	srv.stop()
	require.NoError(t, receive(t, "Run returns", srv.done))

	want := []aegis.State{aegis.StateInit, aegis.StateStarting, aegis.StateRunning, aegis.StateStopping, aegis.StateStopped}
	require.Equal(t, want, first)
	require.Equal(t, want, second)
	require.Equal(t, aegis.StateStopped, srv.State())
}

func TestStatesHaveNames(t *testing.T) {
	t.Parallel()
	names := []string{"INIT", "STARTING", "RUNNING", "STOPPING", "STOPPED"}
	for i, name := range names {
		require.Equal(t, name, aegis.State(i).String())
	}
	require.Equal(t, "UNKNOWN", aegis.State(len(names)).String())
}

func TestServerRunsOnce(t *testing.T) {
	t.Parallel()
	srv := run(t, connect(t), probe{})
	require.EqualError(t, srv.Run(t.Context()), "aegis: Run was called before; the server is RUNNING")
	require.Equal(t, aegis.StateRunning, srv.State(), "the first Run goes on")
	srv.stop()
	require.NoError(t, receive(t, "Run returns", srv.done))
	require.EqualError(t, srv.Run(t.Context()), "aegis: Run was called before; the server is STOPPED")
}

func TestServicesAreRegisteredOnceAndBeforeRun(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	srv := run(t, conn, probe{})
	err := aegistestv1aegis.RegisterBoundedServiceServer(srv.Server, bounded{})
	require.EqualError(t, err, "aegis: register aegistest.v1.BoundedService: the server is RUNNING; register before Run")

	other, err := aegis.NewServer(conn)
	require.NoError(t, err)
	require.NoError(t, aegistestv1aegis.RegisterProbeServiceServer(other, probe{}))
	err = aegistestv1aegis.RegisterProbeServiceServer(other, probe{})
	require.EqualError(t, err, "aegis: aegistest.v1.ProbeService is registered already")
}

func TestServerWithoutServicesDoesNotRun(t *testing.T) {
	t.Parallel()
	srv, err := aegis.NewServer(connect(t))
	require.NoError(t, err)
	require.EqualError(t, srv.Run(t.Context()), "aegis: nothing is registered with the server")
	require.Equal(t, aegis.StateInit, srv.State(), "it can still get a service, and run")
}

// PEERS 15: a stop drops no request that was accepted.
func TestStopFinishesWhatRuns(t *testing.T) {
	t.Parallel()
	started, release := make(chan struct{}), make(chan struct{})
	conn := connect(t)
	srv := run(t, conn, probe{do: func(ctx context.Context, req *testv1.DoRequest) (*testv1.DoResponse, error) {
		close(started)
		<-release
		return &testv1.DoResponse{Text: req.GetText()}, ctx.Err()
	}})
	client := newClient(t, conn)
	call := async(func() (*testv1.DoResponse, error) { return client.Do(t.Context(), doRequest("kept")) })
	receive(t, "the handler runs", started)

	srv.stop()
	eventually(t, "new calls find nobody", func() bool {
		_, err := client.Get(t.Context(), getRequest("late"), aegis.MaxAttempts(1))
		return aegis.CodeOf(err) == aegis.CodeUnavailable
	})
	require.Equal(t, aegis.StateStopping, srv.State())
	pending(t, "Run has returned before its handlers", srv.done)
	close(release)
	got := receive(t, "the reply", call)
	require.NoError(t, got.err)
	require.Equal(t, "kept", got.res.GetText())
	require.NoError(t, receive(t, "Run returns", srv.done))
}

// NATS still delivers for a moment to those that unsubscribe.
func TestStopsUnderLoadLoseNothing(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	serve(t, another(t, conn), probe{})
	client := newClient(t, another(t, conn))
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var callers sync.WaitGroup
	for range 16 {
		callers.Go(func() {
			for ctx.Err() == nil {
				if _, err := client.Do(t.Context(), doRequest("")); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 25 {
		served := make(chan struct{}, 1)
		srv := run(t, conn, probe{do: func(context.Context, *testv1.DoRequest) (*testv1.DoResponse, error) {
			select {
			case served <- struct{}{}:
			default:
			}
			return &testv1.DoResponse{}, nil
		}})
		receive(t, "it serves", served)
		srv.stop()
		require.NoError(t, receive(t, "Run returns", srv.done))
	}
	stop()
	callers.Wait()
}

func TestContextsEndWithTheGracePeriod(t *testing.T) {
	t.Parallel()
	var log logs
	started := make(chan struct{}, 2)
	conn := connect(t)
	srv := run(t, conn, probe{do: func(ctx context.Context, _ *testv1.DoRequest) (*testv1.DoResponse, error) {
		started <- struct{}{}
		<-ctx.Done()
		return nil, ctx.Err()
	}}, aegis.WithGracePeriod(30*time.Millisecond), log.option())
	client := newClient(t, conn)
	call := func() (*testv1.DoResponse, error) { return client.Do(t.Context(), doRequest("")) }
	one, two := async(call), async(call)
	receive(t, "a handler runs", started)
	receive(t, "another handler runs", started)

	srv.stop()
	require.EqualError(t, receive(t, "Run returns", srv.done),
		"aegis: after the grace period of 30ms handlers still ran: aegistest.v1.ProbeService.Do (2)")
	require.Equal(t, aegis.CodeCanceled, aegis.CodeOf(receive(t, "a reply", one).err), "its reply is sent all the same")
	require.Equal(t, aegis.CodeCanceled, aegis.CodeOf(receive(t, "a reply", two).err))
	require.Equal(t, 1, log.count("the grace period was too short"))
}

func TestHandlersThatIgnoreTheirContextDoNotHoldUpTheStop(t *testing.T) {
	t.Parallel()
	started, release := make(chan struct{}), make(chan struct{})
	conn := connect(t)
	srv := run(t, conn, probe{do: func(context.Context, *testv1.DoRequest) (*testv1.DoResponse, error) {
		close(started)
		<-release
		return &testv1.DoResponse{Text: "after all"}, nil
	}}, aegis.WithGracePeriod(0))
	client := newClient(t, conn)
	call := async(func() (*testv1.DoResponse, error) { return client.Do(t.Context(), doRequest("")) })
	receive(t, "the handler runs", started)
	srv.stop()
	require.ErrorContains(t, receive(t, "Run returns", srv.done), "aegistest.v1.ProbeService.Do (1)")
	close(release)
	require.NoError(t, receive(t, "the reply is sent when the handler returns", call).err)
}

func TestRequestsAfterTheGracePeriodAreRefusedAsStopping(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	srv := serve(t, conn, probe{})
	srv.Expire()
	_, err := newClient(t, conn).Do(t.Context(), doRequest(""), aegis.MaxAttempts(1))
	require.Equal(t, aegis.ReasonStopping, asError(t, err).Reason())
	require.Equal(t, aegis.CodeUnavailable, aegis.CodeOf(err))
	require.True(t, aegis.IsWireError(err))
}

func TestServerReturnsWhenItsConnectionIsClosed(t *testing.T) {
	t.Parallel()
	for name, closeIt := range map[string]func(*aegis.Conn){
		"by Aegis":   func(c *aegis.Conn) { _ = c.Close(context.Background()) },
		"by nats.go": func(c *aegis.Conn) { c.NATS().Close() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := connect(t)
			srv := run(t, conn, probe{})
			closeIt(conn)
			require.ErrorIs(t, receive(t, "Run returns", srv.done), aegis.ErrConnClosed)
			require.Equal(t, aegis.StateStopped, srv.State())
		})
	}
}

// A SIGTERM during the start is a stop like any other.
func TestStopDuringTheStartIsNoError(t *testing.T) {
	t.Parallel()
	srv, err := aegis.NewServer(connect(t))
	require.NoError(t, err)
	require.NoError(t, aegistestv1aegis.RegisterProbeServiceServer(srv, probe{}))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, srv.Run(ctx))
	require.Equal(t, aegis.StateStopped, srv.State())
}

// Calls on a connection that is closed must not wait for their deadline.
func TestCallsOnAClosedConnectionEndAtOnce(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	client := newClient(t, conn)
	require.NoError(t, conn.Close(t.Context()))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, err := client.Do(ctx, doRequest(""))
	require.ErrorIs(t, err, aegis.ErrConnClosed)
	require.Equal(t, aegis.CodeCanceled, aegis.CodeOf(err))
	require.NoError(t, ctx.Err(), "it has waited for its deadline")
	require.NoError(t, conn.Close(t.Context()), "closing twice does nothing")
}

func TestCloseEndsWaitingCalls(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	silentServer := standInFor(t, conn, doSubject, unanswered)
	client := newClient(t, conn)
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	call := async(func() (*testv1.DoResponse, error) { return client.Do(ctx, doRequest("")) })
	eventually(t, "the request is out", func() bool { return silentServer.count() == 1 })
	require.NoError(t, conn.Close(t.Context()))
	require.ErrorIs(t, receive(t, "the call ends", call).err, aegis.ErrConnClosed)
}
