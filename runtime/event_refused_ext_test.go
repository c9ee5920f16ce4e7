package aegis_test

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/embednats"
	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

const storedConsumer = "g-store-Stored"

// changeConsumer changes settings of a consumer, as an administrator does.
func changeConsumer(t testing.TB, conn *aegis.Conn, stream, name string, change func(*jetstream.ConsumerConfig)) {
	t.Helper()
	js := jetStream(t, conn)
	c, err := js.Consumer(t.Context(), stream, name)
	require.NoError(t, err)
	cfg := c.CachedInfo().Config
	change(&cfg)
	_, err = js.UpdateConsumer(t.Context(), stream, cfg)
	require.NoError(t, err)
}

// publishMany publishes so many events with the numbers from 0 on.
func publishMany(t testing.TB, conn *aegis.Conn, n int) {
	t.Helper()
	pub := newPublisher(t, conn)
	futures := make([]*aegis.PubFuture, n)
	for i := range n {
		var err error
		futures[i], err = pub.StoredAsync(t.Context(), stored(strconv.Itoa(i)))
		require.NoError(t, err)
	}
	for _, f := range futures {
		_, err := f.Ack(t.Context())
		require.NoError(t, err)
	}
}

// sentPerSecond is how many messages a connection sends while nothing happens.
func sentPerSecond(conn *aegis.Conn) float64 {
	const look = 3 * time.Second
	before, from := conn.NATS().Stats().OutMsgs, time.Now()
	<-time.After(look)
	return float64(conn.NATS().Stats().OutMsgs-before) / time.Since(from).Seconds()
}

// Under load a puller asks for a thousand events at a time.
func TestEventsComeWithAnyLimitOfPulls(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		known bool // before the subscriber comes
		limit func(*jetstream.ConsumerConfig)
	}{
		"batch of 100":           {true, func(c *jetstream.ConsumerConfig) { c.MaxRequestBatch = 100 }},
		"batch of 100 from now":  {false, func(c *jetstream.ConsumerConfig) { c.MaxRequestBatch = 100 }},
		"batch of 1 from now":    {false, func(c *jetstream.ConsumerConfig) { c.MaxRequestBatch = 1 }},
		"1s":                     {true, func(c *jetstream.ConsumerConfig) { c.MaxRequestExpires = time.Second }},
		"20ms from now":          {false, func(c *jetstream.ConsumerConfig) { c.MaxRequestExpires = 20 * time.Millisecond }},
		"both from now":          {false, func(c *jetstream.ConsumerConfig) { c.MaxRequestBatch, c.MaxRequestExpires = 7, 3*time.Second }},
		"one request, one event": {true, func(c *jetstream.ConsumerConfig) { c.MaxWaiting, c.MaxRequestBatch, c.MaxRequestMaxBytes = 1, 1, 1 }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const events = 5000
			conn := connect(t)
			mustStore(t, newPublisher(t, conn), "first") // makes the stream
			cfg := jetstream.ConsumerConfig{
				Name: storedConsumer, Durable: storedConsumer, FilterSubject: "aegis.log.aegistest.v1.EventService.Stored.*",
				AckPolicy: jetstream.AckExplicitPolicy, AckWait: time.Second, MaxAckPending: 10_000,
			}
			if c.known {
				c.limit(&cfg)
			}
			_, err := jetStream(t, conn).CreateConsumer(t.Context(), eventStream, cfg)
			require.NoError(t, err)
			var handled atomic.Int64
			var log logs
			subConn := another(t, conn)
			srv := subscribe(t, subConn, handlers{Stored: func(context.Context, *testv1.StoredRequest) error {
				handled.Add(1)
				return nil
			}}, []aegis.ServerOption{log.option()})
			eventually(t, "the first is handled", func() bool { return handled.Load() == 1 })
			if !c.known {
				changeConsumer(t, conn, eventStream, storedConsumer, c.limit)
			}
			publishMany(t, conn, events)
			eventually(t, "all are handled", func() bool { return handled.Load() == events+1 })
			require.NoError(t, srv.Ready(t.Context()))
			require.NotContains(t, log.String(), "cannot work")
			settled(t, conn, storedConsumer)
			require.Less(t, sentPerSecond(subConn), 10.0)
		})
	}
}

// refusal is a lasting one, and its end.
type refusal struct {
	begin, end func(t testing.TB, conn *aegis.Conn)
	says       []string
}

func refusals() map[string]refusal {
	change := func(c func(*jetstream.ConsumerConfig)) func(testing.TB, *aegis.Conn) {
		return func(t testing.TB, conn *aegis.Conn) {
			t.Helper()
			changeConsumer(t, conn, eventStream, storedConsumer, c)
		}
	}
	none := change(func(c *jetstream.ConsumerConfig) {
		c.PriorityPolicy, c.PriorityGroups, c.PinnedTTL = jetstream.PriorityPolicyNone, nil, 0
	})
	return map[string]refusal{
		"overflow": {
			change(func(c *jetstream.ConsumerConfig) {
				c.PriorityPolicy, c.PriorityGroups = jetstream.PriorityPolicyOverflow, []string{"g"}
			}), none, []string{"the consumer g-store-Stored", "priority_policy is overflow"},
		},
		"pinned": {
			change(func(c *jetstream.ConsumerConfig) {
				c.PriorityPolicy, c.PriorityGroups, c.PinnedTTL = jetstream.PriorityPolicyPinned, []string{"g"}, time.Minute
			}), none, []string{"the consumer g-store-Stored", "priority_policy is pinned_client"},
		},
	}
}

func TestSubscriberWhosePullsAreRefusedAsksSeldomAndSaysSo(t *testing.T) {
	t.Parallel()
	for _, name := range slices.Sorted(maps.Keys(refusals())) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := refusals()[name]
			conn := connect(t)
			var d diary
			var log logs
			subConn := another(t, conn)
			srv := subscribe(t, subConn, handlers{Stored: d.stored}, []aegis.ServerOption{log.option()})
			r.begin(t, conn)
			pub := newPublisher(t, conn)
			for i := range 3 { // the first may come with what was asked for before
				mustStore(t, pub, strconv.Itoa(i))
			}
			refusedUntil(t, subConn, srv, &log, r.says, func() { r.end(t, conn) })
			eventually(t, "all are handled", func() bool { return d.count("0") > 0 && d.count("1") > 0 && d.count("2") > 0 })
		})
	}
}

// refusedUntil expects that a server says that it cannot work, asks seldom, and
// works again when the reason has gone.
func refusedUntil(t *testing.T, conn *aegis.Conn, srv *aegis.Server, log *logs, says []string, end func()) {
	t.Helper()
	eventually(t, "it is not ready", func() bool { return srv.Ready(t.Context()) != nil })
	eventually(t, "it says why", func() bool {
		err := srv.Ready(t.Context())
		return err != nil && !slices.ContainsFunc(says, func(text string) bool { return !strings.Contains(err.Error(), text) })
	})
	require.Less(t, sentPerSecond(conn), 10.0)
	require.LessOrEqual(t, log.count("cannot work"), 2, log.String()) // the text may become a better one
	end()
	eventually(t, "it works again", func() bool { return srv.Ready(t.Context()) == nil })
	require.Equal(t, 1, log.count("can work again"), log.String())
}

// An administrator forgets a permission, and adds it.
func TestSubscriberGoesOnWhenItMayPull(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "nats.conf")
	store := inDomain(t, "d")
	configure := func(permissions string) {
		require.NoError(t, os.WriteFile(path, []byte("listen: \"127.0.0.1:-1\"\n"+store+
			"authorization {users: [{user: u, password: pw, permissions: {"+permissions+"}}]}\n"), 0o600))
	}
	configure(`publish: {deny: ["$JS.*.API.CONSUMER.MSG.NEXT.>", "$JS.API.CONSUMER.MSG.NEXT.>"]}`)
	server, err := embednats.Start(embednats.Options{Config: path})
	require.NoError(t, err)
	t.Cleanup(server.Stop)
	conn := connectTo(t, strings.Replace(server.ClientURL(), "://", "://u:pw@", 1))
	var d diary
	var log logs
	srv := subscribe(t, conn, handlers{Stored: d.stored}, []aegis.ServerOption{log.option()})
	mustStore(t, newPublisher(t, conn), "x")
	eventually(t, "it is not ready", func() bool { return srv.Ready(t.Context()) != nil })
	require.ErrorContains(t, srv.Ready(t.Context()), "does not allow this user to publish to $JS.API.CONSUMER.MSG.NEXT.")
	configure(`publish: [">"]`)
	require.NoError(t, server.Reload())
	d.becomes(t, "x")
	eventually(t, "it is ready", func() bool { return srv.Ready(t.Context()) == nil })
	require.Equal(t, 1, log.count("can work again"), log.String())
}

func TestConsumerWithPriorityGroupsIsRefusedAtTheStart(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	mustStore(t, newPublisher(t, conn), "")
	_, err := jetStream(t, conn).CreateConsumer(t.Context(), eventStream, jetstream.ConsumerConfig{
		Name: storedConsumer, Durable: storedConsumer, FilterSubject: "aegis.log.aegistest.v1.EventService.Stored.*",
		AckPolicy: jetstream.AckExplicitPolicy, PriorityPolicy: jetstream.PriorityPolicyOverflow, PriorityGroups: []string{"g"},
	})
	require.NoError(t, err)
	srv, err := aegis.NewServer(conn)
	require.NoError(t, err)
	require.NoError(t, subscribeTo(srv, handlers{Stored: (&diary{}).stored}))
	require.ErrorContains(t, srv.Run(t.Context()), "the consumer g-store-Stored of the stream "+eventStream+
		" differs in what cannot be changed: its priority_policy is overflow, and none is needed")
}

// withoutNext is an account that imports all of JetStream but the subject where
// messages are asked for, and one that may not publish to it.
const withoutNext = `
accounts {
  STORE: {
    jetstream: enabled
    users: [{user: all, password: pw}, {user: denied, password: pw, permissions: {publish: {deny: ["$JS.API.CONSUMER.MSG.NEXT.>"]}}}]
    exports: [
      {service: "$JS.API.STREAM.>", response_type: stream}, {service: "$JS.API.CONSUMER.INFO.>", response_type: stream},
      {service: "$JS.API.CONSUMER.CREATE.>", response_type: stream}
    ]
  }
  USER: {
    users: [{user: importer, password: pw}]
    imports: [
      {service: {account: STORE, subject: "$JS.API.STREAM.>"}, to: "JS.store.STREAM.>"}
      {service: {account: STORE, subject: "$JS.API.CONSUMER.INFO.>"}, to: "JS.store.CONSUMER.INFO.>"}
      {service: {account: STORE, subject: "$JS.API.CONSUMER.CREATE.>"}, to: "JS.store.CONSUMER.CREATE.>"}
    ]
  }
}
`

// Both methods of the service have three consumers each, and one line each.
func TestWorkerWhosePullsNobodyTakesSaysSoOnce(t *testing.T) {
	t.Parallel()
	as := startWithoutNext(t)
	send(t, newJobClient(t, as("all")), "") // makes the stream
	conn := as("importer", aegis.WithJetStreamAPIPrefix("JS.store"))
	var log logs
	srv := aegistest.Serve(t, conn, registerJobs(jobs{}), log.option())
	eventually(t, "both methods say so", func() bool { return log.count("cannot work") >= 2 })
	require.ErrorContains(t, srv.Ready(t.Context()), "nobody answers at JS.store.CONSUMER.MSG.NEXT."+commandStream+".w-")
	require.Less(t, sentPerSecond(conn), 20.0)
	require.Equal(t, 2, log.count("cannot work"), log.String())
}

func startWithoutNext(t *testing.T) func(user string, opts ...aegis.ConnOption) *aegis.Conn {
	t.Helper()
	path := filepath.Join(t.TempDir(), "nats.conf")
	require.NoError(t, os.WriteFile(path, []byte(withoutNext), 0o600))
	n := aegistest.StartNATSWithConfig(t, path)
	return func(user string, opts ...aegis.ConnOption) *aegis.Conn {
		return connectTo(t, strings.Replace(n.URL(), "://", "://"+user+":pw@", 1), opts...)
	}
}

func TestPullsThatNobodyTakesAreExplained(t *testing.T) {
	t.Parallel()
	as := startWithoutNext(t)
	mustStore(t, newPublisher(t, as("all")), "")
	for user, c := range map[string]struct {
		opts []aegis.ConnOption
		says []string
	}{
		"importer": {
			[]aegis.ConnOption{aegis.WithJetStreamAPIPrefix("JS.store")},
			[]string{"the consumer g-store-Stored of the stream " + eventStream, "nobody answers at JS.store.CONSUMER.MSG.NEXT." + eventStream + ".g-store-Stored", "not exported"},
		},
		"denied": {nil, []string{
			"the consumer g-store-Stored of the stream " + eventStream,
			"does not allow this user to publish to $JS.API.CONSUMER.MSG.NEXT." + eventStream + ".g-store-Stored",
		}},
	} {
		t.Run(user, func(t *testing.T) {
			t.Parallel()
			conn := as(user, c.opts...)
			var log logs
			srv := subscribe(t, conn, handlers{Stored: (&diary{}).stored}, []aegis.ServerOption{log.option()})
			eventually(t, "it is not ready and says why", func() bool {
				err := srv.Ready(t.Context())
				return err != nil && !slices.ContainsFunc(c.says, func(text string) bool { return !strings.Contains(err.Error(), text) })
			})
			require.Less(t, sentPerSecond(conn), 10.0)
			require.Equal(t, 1, log.count("cannot work"), log.String())
		})
	}
}
