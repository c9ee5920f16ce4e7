package aegis_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/examples/order/gen/order/v1/orderv1aegis"
	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

var threefold = aegis.WithStorage(aegis.Storage{Replicas: 3})

// replicas are those of a stream, 0 if there is none.
func replicas(t *testing.T, js jetstream.JetStream, name string) int {
	t.Helper()
	stream, err := js.Stream(t.Context(), name)
	if err != nil {
		return 0
	}
	return stream.CachedInfo().Config.Replicas
}

func (c *cluster) ready(t *testing.T) (*aegis.Conn, jetstream.JetStream) {
	t.Helper()
	conn := connectTo(t, c.URL())
	return conn, jetStream(t, conn)
}

// becomeThreefold waits for three replicas of all streams.
func (c *cluster) becomeThreefold(t *testing.T, js jetstream.JetStream, names ...string) {
	t.Helper()
	for _, name := range names {
		c.eventually(name+" has three replicas", func() bool { return replicas(t, js, name) == 3 })
	}
}

const (
	deadCommands = "aegis-dead-aegistest-v1-JobService"
	deadEvents   = "aegis-dead-aegistest-v1-EventService"
)

// First come those who do not say, then those who do, then others again.
func TestReplicasAreThoseThatAreAskedForWhoeverComesFirst(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	_, js := c.ready(t)
	var log logs
	conn := connectTo(t, c.URL(), log.option())
	send(t, newJobClient(t, conn), "1")
	mustStore(t, newPublisher(t, conn), "1")
	require.Equal(t, 1, replicas(t, js, commandStream))
	require.Equal(t, 1, replicas(t, js, eventStream))
	var d diary
	worker(t, conn, jobs{}, threefold)
	subscribe(t, conn, handlers{Stored: d.stored}, nil, threefold)
	c.becomeThreefold(t, js, commandStream, resultStream, deadCommands, eventStream, deadEvents)
	require.Equal(t, "2", mustResult(t, send(t, newJobClient(t, connectTo(t, c.URL(), log.option())), "2")))
	worker(t, connectTo(t, c.URL(), log.option()), jobs{})
	for _, name := range []string{commandStream, resultStream, deadCommands, eventStream, deadEvents} {
		require.Equal(t, 3, replicas(t, js, name), name)
	}
	require.NotContains(t, log.String(), "replicas")
	// A smaller number takes none away.
	one := aegis.WithStorage(aegis.Storage{Replicas: 1, Update: true})
	send(t, newJobClient(t, conn, one), "3")
	require.Equal(t, 3, replicas(t, js, commandStream))
	require.Equal(t, 1, log.count("has 3 replicas, which stay, where 1 are asked for"))
}

// A command is as safe as the least of its streams, so the worker that does not
// say makes them as the sender has made the queue.
func TestStreamsOfAServiceHaveTheReplicasOfItsQueue(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	conn, js := c.ready(t)
	mustStore(t, newPublisher(t, conn, threefold), "1")
	var d diary
	subscribe(t, conn, handlers{Stored: d.stored}, nil)
	longer := aegis.Storage{DedupeWindow: time.Minute} // so that what is not acknowledged can be sent again
	worker(t, conn, jobs{}, aegis.WithStorage(longer)) // all are there, with one replica
	c.eventually("there are dead letters", func() bool { return replicas(t, js, deadCommands) == 1 })
	// While NATS makes the replicas it stores nothing, for some seconds.
	ctx, cancel := context.WithTimeout(t.Context(), clusterPatience)
	defer cancel()
	longer.Replicas = 3
	cmd, err := newJobClient(t, conn, aegis.WithStorage(longer)).Work(ctx, &testv1.WorkRequest{Text: "x"})
	require.NoError(t, err)
	c.becomeThreefold(t, js, commandStream, resultStream, deadCommands, eventStream, deadEvents)
	res, err := cmd.Result(ctx)
	require.NoError(t, err)
	require.Equal(t, "x", res.GetText())
}

func TestBucketsGetTheReplicasThatAreAskedFor(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	_, js := c.ready(t)
	buckets := []string{"KV_aegis-leaders", "KV_aegis-registry"}
	serve := func(name string, opts ...aegis.ServerOption) *aegis.Server {
		return aegistest.Serve(t, connectTo(t, c.URL()), func(srv *aegis.Server) error {
			return orderv1aegis.RegisterOrderServiceServer(srv, &desk{name: name}, fast)
		}, append(opts, aegis.WithInstance(name))...)
	}
	first := serve("a")
	c.eventually("it leads", func() bool { return leadsNow(first) })
	for _, name := range buckets {
		require.Equal(t, 1, replicas(t, js, name), name)
	}
	three := aegis.BucketConfig{Replicas: 3}
	second := serve("b", aegis.WithLeaderBucket(three), aegis.WithRegistryBucket(three))
	c.becomeThreefold(t, js, buckets...)
	c.eventually("one leads, and both are ready", func() bool {
		return leadsNow(first) != leadsNow(second) && first.Ready(t.Context()) == nil && second.Ready(t.Context()) == nil
	})
}

// A program need not say it for each service where the place that it runs in does.
func TestReplicasOfTheConnectionAreThoseOfAllThatItUses(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	_, js := c.ready(t)
	conn := connectTo(t, c.URL(), aegis.WithReplicas(3))
	var d diary
	aegistest.Serve(t, conn, func(srv *aegis.Server) error {
		return orderv1aegis.RegisterOrderServiceServer(srv, &desk{name: "a"}, fast)
	})
	send(t, newJobClient(t, conn), "1")
	subscribe(t, conn, handlers{Stored: d.stored}, nil)
	names := []string{"KV_aegis-leaders", "KV_aegis-registry", commandStream, eventStream, deadEvents, "KV_aegis-descriptors"}
	for _, name := range names {
		c.eventually(name+" is made", func() bool { return replicas(t, js, name) > 0 })
		require.Equal(t, 3, replicas(t, js, name), name)
	}
	require.NoError(t, js.DeleteStream(t.Context(), commandStream))
	send(t, newJobClient(t, conn, aegis.WithStorage(aegis.Storage{Replicas: 1})), "2")
	require.Equal(t, 1, replicas(t, js, commandStream), "the service's own number goes over it")
	_, err := aegis.Connect(t.Context(), c.URL(), aegis.WithReplicas(2))
	require.ErrorIs(t, err, aegis.ErrInvalidOption)
}

// JetStream is too busy to answer at first.
func TestReplicasThatCannotBeMadeNowAreMadeLater(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	conn, js := c.ready(t)
	const bucket = "KV_aegis-leaders"
	nc := plain(t, conn)
	var unanswered atomic.Bool
	_, err := nc.Subscribe("HELD.>", func(msg *nats.Msg) {
		if strings.HasSuffix(msg.Subject, ".STREAM.UPDATE."+bucket) && unanswered.CompareAndSwap(false, true) {
			return
		}
		_ = nc.PublishMsg(&nats.Msg{Subject: "$JS.API" + strings.TrimPrefix(msg.Subject, "HELD"), Reply: msg.Reply, Header: msg.Header, Data: msg.Data})
	})
	require.NoError(t, err)
	_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{
		Name: bucket, Subjects: []string{"$KV.aegis-leaders.>"}, MaxMsgsPerSubject: 1, Discard: jetstream.DiscardNew, DenyDelete: true, AllowRollup: true,
	})
	require.NoError(t, err)
	var log logs
	aegistest.Serve(t, connectTo(t, c.URL(), aegis.WithJetStreamAPIPrefix("HELD"), log.option()), func(srv *aegis.Server) error {
		return orderv1aegis.RegisterOrderServiceServer(srv, &desk{name: "a"}, fast)
	}, aegis.WithLeaderBucket(aegis.BucketConfig{Replicas: 3}))
	c.becomeThreefold(t, js, bucket)
	require.True(t, unanswered.Load())
	require.Equal(t, 1, log.count("the stream "+bucket+" stays at 1 replicas, where 3 are asked for"))
}

// NATS has no compare-and-set for streams: a process that changes something else, and has read
// the stream before, takes the replicas away again.
func TestReplicasThatAnotherProcessUndoesAreMadeAgain(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	conn, js := c.ready(t)
	mustStore(t, newPublisher(t, conn), "1")
	before, err := js.Stream(t.Context(), eventStream)
	require.NoError(t, err)
	nc := plain(t, conn)
	var undone atomic.Int64
	_, err = nc.Subscribe("HELD.>", func(msg *nats.Msg) {
		on := &nats.Msg{Subject: "$JS.API" + strings.TrimPrefix(msg.Subject, "HELD"), Header: msg.Header, Data: msg.Data}
		if !strings.HasSuffix(msg.Subject, ".STREAM.UPDATE."+eventStream) || undone.Add(1) > 1 {
			on.Reply = msg.Reply
			_ = nc.PublishMsg(on)
			return
		}
		raised, err := nc.RequestMsg(on, clusterPatience)
		if err != nil {
			t.Error(err)
			return
		}
		if _, err := js.UpdateStream(t.Context(), before.CachedInfo().Config); err != nil {
			t.Error(err)
		}
		_ = nc.Publish(msg.Reply, raised.Data)
	})
	require.NoError(t, err)
	require.NoError(t, nc.Flush())
	// The other servers of the cluster learn of the subscription later.
	held := connectTo(t, nc.ConnectedUrl(), aegis.WithJetStreamAPIPrefix("HELD"))
	mustStore(t, newPublisher(t, held, threefold), "2")
	require.Equal(t, int64(1), undone.Load())
	c.becomeThreefold(t, js, eventStream)
}

// Where there are not so many servers it stays as it is, and says so once.
func TestReplicasThatThereAreNoServersForAreToldOnce(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	mustStore(t, newPublisher(t, conn), "1")
	send(t, newJobClient(t, conn), "1")
	var log logs
	other := another(t, conn, log.option())
	mustStore(t, newPublisher(t, other, threefold), "2")
	srv := worker(t, other, jobs{}, threefold)
	require.ErrorContains(t, srv.Ready(t.Context()), "replicas > 1 not supported in non-clustered mode") // of the results
	require.Equal(t, 1, log.count("the stream "+eventStream+" stays at 1 replicas, where 3 are asked for"))
	require.LessOrEqual(t, log.count("the stream "+commandStream+" stays at 1 replicas"), 2) // once for each method
}

// NATS does not answer those who may not change streams, and nobody waits for it.
func TestWhoMayNotChangeAStreamStoresAllTheSame(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "nats.conf")
	require.NoError(t, os.WriteFile(path, []byte(`
authorization {
  users = [
    {user: all, password: pw}
    {user: some, password: pw, permissions: {publish: {deny: ["$JS.API.STREAM.UPDATE.>"]}}}
  ]
}
`), 0o600))
	n := aegistest.StartNATSWithConfig(t, path)
	as := func(user string, opts ...aegis.ConnOption) *aegis.Conn {
		return connectTo(t, strings.Replace(n.URL(), "://", "://"+user+":pw@", 1), opts...)
	}
	mustStore(t, newPublisher(t, as("all")), "1")
	var log logs
	pub := newPublisher(t, as("some", log.option()), threefold)
	mustStore(t, pub, "2")
	mustStore(t, pub, "3")
	require.Equal(t, 1, log.count("stays at 1 replicas, where 3 are asked for: this user may not use JetStream"), log.String())
	require.NotContains(t, log.String(), "deadline exceeded")
}
