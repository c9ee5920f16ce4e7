package aegis_test

import (
	"bytes"
	"context"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"

	"github.com/aegisrpc/aegis/internal/natsproxy"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

// startHole starts a proxy that becomes a black hole when it is shut.
func startHole(t *testing.T, natsURL string) *natsproxy.Held {
	t.Helper()
	u, err := url.Parse(natsURL)
	require.NoError(t, err)
	hole, err := natsproxy.NewHeld(u.Host)
	require.NoError(t, err)
	t.Cleanup(hole.Close)
	return hole
}

// leaves waits until connections use the proxy no more.
func leaves(t *testing.T, hole *natsproxy.Held, conns ...*aegis.Conn) {
	t.Helper()
	deadline := time.Now().Add(clusterPatience)
	for _, conn := range conns {
		for !conn.NATS().IsConnected() || conn.NATS().ConnectedUrl() == hole.URL() {
			if time.Now().After(deadline) {
				t.Fatalf("after %v a connection still uses what swallows everything", clusterPatience)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
}

// All NATS servers are well, and the way to one of them swallows everything.
func TestABlackHoleIsLeftForAnotherNATSServer(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	ctx, cancel := context.WithTimeout(t.Context(), 3*clusterPatience)
	defer cancel()
	hole := startHole(t, c.Servers()[0].URL())
	// A server's old connection stays in the queue group until NATS gives it up.
	serverHole := startHole(t, c.Servers()[1].URL())
	through := func(hole *natsproxy.Held) *aegis.Conn {
		urls := hole.URL() + "," + c.Servers()[2].URL()
		conn := connectTo(t, urls, aegis.WithNATSOptions(nats.DontRandomize(), nats.IgnoreDiscoveredServers()))
		require.Equal(t, hole.URL(), conn.NATS().ConnectedUrl())
		return conn
	}
	serverConn, subscriberConn := through(serverHole), through(serverHole)
	clientConn, publisherConn := through(hole), through(hole)
	aegistest.Serve(t, serverConn, registerProbe, aegis.WithInstance("one"))
	var d diary
	subscribe(t, subscriberConn, handlers{Stored: d.stored}, named("two"), aegis.StartFrom(aegis.StartAll()))
	client, pub := newClient(t, clientConn), newPublisher(t, publisherConn)
	_, err := client.Get(ctx, getRequest("before"))
	require.NoError(t, err)
	_, err = pub.Stored(ctx, stored("before"), aegis.MessageID("before"))
	require.NoError(t, err)
	c.eventually("it is handled", func() bool { return d.count("before") == 1 })

	hole.ShutAll()
	serverHole.ShutAll()
	leaves(t, hole, clientConn, publisherConn)
	leaves(t, serverHole, serverConn, subscriberConn)
	c.eventually("calls are answered", func() bool {
		asking, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		res, err := client.Get(asking, getRequest("after"), aegis.ToInstance("one"))
		return err == nil && res.GetText() == "after"
	})
	_, err = pub.Stored(ctx, stored("after"), aegis.MessageID("after"))
	require.NoError(t, err)
	c.eventually("it is handled", func() bool { return d.count("after") >= 1 })
}

// Whoever publishes much fills the buffers on the way: nats.go then waits for
// the socket, and holds up everybody who uses the connection.
func TestAPublisherIsNotHeldUpByABlackHole(t *testing.T) {
	t.Parallel()
	n, other := aegistest.StartNATS(t), aegistest.StartNATS(t)
	hole := startHole(t, n.URL())
	conn := connectTo(t, hole.URL()+","+other.URL(), aegis.WithNATSOptions(nats.DontRandomize(), nats.IgnoreDiscoveredServers()))
	pub := newPublisher(t, conn)
	ev := &testv1.CoreRequest{Text: string(bytes.Repeat([]byte("x"), 256<<10))}
	require.NoError(t, pub.Core(t.Context(), ev))
	hole.ShutAll()
	left := async(func() (any, error) {
		for conn.NATS().ConnectedUrl() == hole.URL() {
			_ = pub.Core(t.Context(), ev) // until it is noticed
		}
		return nil, nil
	})
	select {
	case <-left:
	case <-time.After(clusterPatience / 2):
		t.Fatal("the publisher is still held up")
	}
	c, err := nats.Connect(other.URL())
	require.NoError(t, err)
	t.Cleanup(c.Close)
	sub, err := c.SubscribeSync("aegis.evt.>")
	require.NoError(t, err)
	require.NoError(t, c.Flush())
	leaves(t, hole, conn)
	require.NoError(t, pub.Core(t.Context(), ev))
	_, err = sub.NextMsg(patience)
	require.NoError(t, err)
}

// nats.go holds its lock while it dials. Callers do not wait for that.
func TestCallsEndAtTheirDeadlineWhileABlackHoleIsDialed(t *testing.T) {
	t.Parallel()
	hole := startHole(t, connect(t).NATS().ConnectedUrl())
	conn := connectTo(t, hole.URL(), aegis.WithNATSOptions(nats.IgnoreDiscoveredServers(),
		nats.Timeout(clusterPatience), nats.PingInterval(50*time.Millisecond), nats.MaxPingsOutstanding(1)))
	t.Cleanup(hole.Close) // before the connection, whose end would wait for the dial
	client := newClient(t, conn)
	hole.ShutAll()
	begun := time.Now()
	eventually(t, "calls know that the connection is down", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, err := client.Do(ctx, doRequest(""))
		require.Equal(t, aegis.CodeDeadlineExceeded, aegis.CodeOf(err))
		return strings.Contains(err.Error(), "not connected to NATS")
	})
	require.Less(t, time.Since(begun), clusterPatience)
}

// The same of what was sent before, and is not answered.
func TestWhatIsUnansweredEndsAtItsDeadlineWhileABlackHoleIsDialed(t *testing.T) {
	t.Parallel()
	direct := connect(t)
	mustStore(t, newPublisher(t, direct), "makes the stream")
	standInFor(t, direct, doSubject, unanswered)
	hole := startHole(t, direct.NATS().ConnectedUrl())
	conn := connectTo(t, hole.URL(), aegis.WithNATSOptions(nats.IgnoreDiscoveredServers(),
		nats.Timeout(clusterPatience), nats.PingInterval(time.Second), nats.MaxPingsOutstanding(1)))
	t.Cleanup(hole.Close) // before the connection, whose end would wait for the dial
	client, pub := newClient(t, conn), newPublisher(t, conn)
	mustStore(t, pub, "finds the stream")
	worker(t, direct, jobs{work: func(ctx context.Context, _ *testv1.WorkRequest) (*testv1.WorkResponse, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}})
	cmd := send(t, newJobClient(t, conn), "")
	hole.ShutAll()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
	defer cancel()
	called := async(func() (*testv1.DoResponse, error) { return client.Do(ctx, doRequest("")) })
	awaited := async(func() (*testv1.WorkResponse, error) { return cmd.Result(ctx) })
	future, err := pub.StoredAsync(ctx, stored("x"))
	require.NoError(t, err)
	res := receive(t, "the call", called)
	require.Equal(t, aegis.CodeDeadlineExceeded, aegis.CodeOf(res.err), "%v", res.err)
	receive(t, "the event", future.Done())
	end := receive(t, "the result", awaited)
	require.Equal(t, aegis.CodeDeadlineExceeded, aegis.CodeOf(end.err), "%v", end.err)
}
