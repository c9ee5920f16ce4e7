package aegis_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/aegisrpc/aegis/internal/embednats"
	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/wire"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

// restartable is a NATS server that can be away for a while.
type restartable struct {
	*embednats.Server

	t     *testing.T
	url   string
	port  int
	store string // where JetStream keeps its files; "" without
}

func startRestartable(t *testing.T) *restartable {
	t.Helper()
	r := &restartable{t: t}
	r.up()
	r.url = r.ClientURL()
	u, err := url.Parse(r.url)
	require.NoError(t, err)
	r.port, err = strconv.Atoi(u.Port())
	require.NoError(t, err)
	t.Cleanup(func() { r.Stop() })
	return r
}

func (r *restartable) up() {
	r.t.Helper()
	var err error
	// The port may be in use for a moment by an outgoing connection of
	// another test.
	eventually(r.t, "the NATS server listens", func() bool {
		r.Server, err = embednats.Start(embednats.Options{Port: r.port, StoreDir: r.store})
		return err == nil
	})
}

func (r *restartable) down(conns ...*aegis.Conn) {
	r.t.Helper()
	r.Stop()
	for _, c := range conns {
		eventually(r.t, "the outage is noticed", func() bool { return !c.NATS().IsConnected() })
	}
}

func TestEverythingServesAgainAfterNATSRestarts(t *testing.T) {
	t.Parallel()
	restarted := startRestartable(t)
	serverConn, clientConn := connectTo(t, restarted.url), connectTo(t, restarted.url)
	serve(t, serverConn, probe{}, aegis.WithInstance("one"))
	client := newClient(t, clientConn)
	for range 2 {
		restarted.down(serverConn, clientConn)
		waiting := async(func() (*testv1.DoResponse, error) {
			return client.Do(t.Context(), doRequest("waits"), aegis.WaitForReady())
		})
		restarted.up()
		require.NoError(t, receive(t, "the call of the outage", waiting).err)
		_, err := client.Do(t.Context(), doRequest("directed"), aegis.ToInstance("one"))
		require.NoError(t, err)
	}
}

func TestCallsDuringAnOutageEndAtTheirDeadlineUnsent(t *testing.T) {
	t.Parallel()
	restarted := startRestartable(t)
	conn := connectTo(t, restarted.url)
	serve(t, connectTo(t, restarted.url), probe{do: func(_ context.Context, req *testv1.DoRequest) (*testv1.DoResponse, error) {
		if req.GetText() == "stale" {
			t.Error("a request of before the reconnect was sent after it")
		}
		return &testv1.DoResponse{}, nil
	}})
	client := newClient(t, conn)
	restarted.down(conn)
	eventually(t, "calls wait", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		_, err := client.Do(ctx, doRequest("stale"))
		require.Equal(t, aegis.CodeDeadlineExceeded, aegis.CodeOf(err))
		require.False(t, aegis.IsWireError(err))
		return asError(t, err).Message() == "not connected to NATS; nothing was sent to "+doSubject
	})
	restarted.up()
	_, err := client.Do(t.Context(), doRequest("new"), aegis.WaitForReady())
	require.NoError(t, err)
}

func TestCallsDuringAnOutageEndWhenCanceled(t *testing.T) {
	t.Parallel()
	restarted := startRestartable(t)
	conn := connectTo(t, restarted.url)
	client := newClient(t, conn)
	restarted.down(conn)
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	call := async(func() (*testv1.DoResponse, error) { return client.Do(ctx, doRequest("")) })
	cancel()
	require.Equal(t, aegis.CodeCanceled, aegis.CodeOf(receive(t, "the call ends", call).err))
}

// What is left of the deadline is not what was left before the wait.
func TestCallThatWaitedForTheConnectionSaysWhatIsLeft(t *testing.T) {
	t.Parallel()
	const outage = 300 * time.Millisecond
	restartable := startRestartable(t)
	conn := connectTo(t, restartable.url)
	client := newClient(t, conn)
	timeouts := make(chan string, 1)
	_, err := conn.NATS().Subscribe(doSubject, func(msg *nats.Msg) {
		timeouts <- msg.Header.Get(wire.HeaderTimeout)
		answerWith(msg, &testv1.DoResponse{})
	})
	require.NoError(t, err)
	restartable.down(conn)
	call := async(func() (*testv1.DoResponse, error) {
		defer close(timeouts)
		return client.Do(t.Context(), doRequest(""))
	})
	<-time.After(outage)
	restartable.up()
	require.NoError(t, receive(t, "the call", call).err)
	millis, err := strconv.Atoi(<-timeouts)
	require.NoError(t, err, "the method's own timeout is not what is left")
	require.LessOrEqual(t, millis, int((5*time.Second - outage/2).Milliseconds()))
}

// For a moment after an outage began, nobody has told Aegis. nats.go keeps what
// is published then, and would send it after the reconnect.
func TestNothingIsSentBeforeTheOutageIsKnown(t *testing.T) {
	t.Parallel()
	restartable := startRestartable(t)
	conn := connectTo(t, restartable.url)
	client := newClient(t, conn)
	restartable.down(conn)
	conn.PretendUp()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	buffered, err := conn.NATS().Buffered()
	require.NoError(t, err)
	_, err = client.Do(ctx, doRequest("stale"))
	require.Equal(t, aegis.CodeDeadlineExceeded, aegis.CodeOf(err))
	after, err := conn.NATS().Buffered()
	require.NoError(t, err)
	require.Equal(t, buffered, after)
}

// Between the look at the connection and the publishing it can go away, and what
// nats.go keeps then is sent however late. So it keeps nothing.
func TestNothingIsBufferedDuringAnOutage(t *testing.T) {
	t.Parallel()
	restartable := startRestartable(t)
	conn := connectTo(t, restartable.url)
	restartable.down(conn)
	require.ErrorIs(t, conn.NATS().Publish("subject", nil), nats.ErrReconnectBufExceeded)
}

// Whoever called before the outage may still wait for the reply.
func TestRepliesMadeDuringAnOutageAreSentAfterIt(t *testing.T) {
	t.Parallel()
	restartable := startRestartable(t)
	clientConn := connectTo(t, restartable.url)
	clientIsBack := make(chan struct{})
	serverConn := connectTo(t, restartable.url, aegis.WithNATSOptions(nats.CustomReconnectDelay(func(int) time.Duration {
		<-clientIsBack
		return time.Millisecond
	})))
	handling, finish := make(chan struct{}, 2), make(chan struct{})
	serve(t, serverConn, probe{do: func(_ context.Context, req *testv1.DoRequest) (*testv1.DoResponse, error) {
		handling <- struct{}{}
		<-finish
		if req.GetText() == "fails" {
			return nil, aegis.Errorf(aegis.CodeNotFound, "no such thing")
		}
		return &testv1.DoResponse{Text: req.GetText()}, nil
	}})
	client := newClient(t, clientConn)
	call := func(text string) <-chan result[*testv1.DoResponse] {
		return async(func() (*testv1.DoResponse, error) {
			ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
			defer cancel()
			return client.Do(ctx, doRequest(text))
		})
	}
	answered, failed := call("waits"), call("fails")
	receive(t, "a handler runs", handling)
	receive(t, "a handler runs", handling)
	restartable.down(serverConn, clientConn)
	close(finish)
	eventually(t, "the replies are kept", func() bool { return serverConn.RepliesKept() == 2 })
	restartable.up()
	eventually(t, "the client is back", func() bool { return clientConn.NATS().Flush() == nil })
	close(clientIsBack)
	answer := receive(t, "the reply", answered)
	require.NoError(t, answer.err)
	require.Equal(t, "waits", answer.res.GetText())
	require.Equal(t, aegis.CodeNotFound, aegis.CodeOf(receive(t, "the error", failed).err))
}

// Callers hammer a server whose NATS goes away and comes back: a handler may
// never believe that it has more time than its caller gives it.
func TestNoRequestIsSentStaleAfterAnOutage(t *testing.T) {
	t.Parallel()
	const outage, slack = 2 * time.Second, 1700 * time.Millisecond // of a busy machine
	restarted := startRestartable(t)
	serverConn, clientConn := connectTo(t, restarted.url), connectTo(t, restarted.url)
	epoch := time.Now()
	serve(t, serverConn, probe{do: func(ctx context.Context, req *testv1.DoRequest) (*testv1.DoResponse, error) {
		deadline, _ := ctx.Deadline()
		if late := deadline.Sub(epoch) - req.GetWait().AsDuration(); late > slack {
			t.Errorf("the handler believes that it has %v longer than its caller waits", late)
		}
		return &testv1.DoResponse{}, nil
	}})
	client := newClient(t, clientConn)
	ctx, stop := context.WithCancel(t.Context())
	var callers sync.WaitGroup
	for range 8 {
		callers.Go(func() {
			for ctx.Err() == nil {
				callCtx, cancel := context.WithTimeout(ctx, 3*outage)
				deadline, _ := callCtx.Deadline()
				_, _ = client.Do(callCtx, &testv1.DoRequest{Wait: durationpb.New(deadline.Sub(epoch))})
				cancel()
			}
		})
	}
	for range 2 {
		restarted.down(serverConn, clientConn)
		<-time.After(outage)
		restarted.up()
		eventually(t, "calls are served", func() bool {
			_, err := client.Get(t.Context(), getRequest(""))
			return err == nil
		})
	}
	stop()
	callers.Wait()
}

// A server that is told to stop while NATS is away has nothing to wait for.
func TestStopDuringAnOutageIsQuick(t *testing.T) {
	t.Parallel()
	restarted := startRestartable(t)
	conn := connectTo(t, restarted.url)
	srv := run(t, conn, probe{})
	restarted.down(conn)
	start := time.Now()
	srv.stop()
	require.NoError(t, receive(t, "Run returns", srv.done))
	require.Less(t, time.Since(start), 5*time.Second)
}

// breaking dials connections; the one that carries a certain PING breaks with it.
type breaking struct{ pings atomic.Int64 }

func (b *breaking) Dial(network, address string) (net.Conn, error) {
	c, err := net.Dial(network, address)
	return &breakingConn{c, b}, err
}

type breakingConn struct {
	net.Conn

	b *breaking
}

func (c *breakingConn) Write(data []byte) (int, error) {
	if bytes.Contains(data, []byte("PING\r\n")) && c.b.pings.Add(-1) == 0 {
		return 0, errors.Join(c.Close(), io.ErrClosedPipe)
	}
	return c.Conn.Write(data)
}

// While a server starts it asks NATS several times whether all has arrived.
func TestServersStartThoughTheConnectionBreaks(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	for ping := int64(2); ping < 12; ping++ { // the first is the connecting
		b := &breaking{}
		b.pings.Store(ping)
		conn := connectTo(t, n.URL(), aegis.WithNATSOptions(nats.SetCustomDialer(b)))
		aegistest.Serve(t, conn, func(srv *aegis.Server) error {
			return errors.Join(registerProbe(srv), registerJobs(jobs{})(srv), subscribeTo(srv, handlers{Stored: new(diary).stored}))
		})
		if ping < 5 {
			require.LessOrEqual(t, b.pings.Load(), int64(0), "the connection was to break at ping %d", ping)
		}
	}
}
