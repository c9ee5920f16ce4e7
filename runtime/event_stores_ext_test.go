package aegis_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

func TestStreamIsAsTheProtoAndTheProgramSay(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	js := jetStream(t, conn)
	mustStore(t, newPublisher(t, conn), "")
	stream, err := js.Stream(t.Context(), eventStream)
	require.NoError(t, err)
	cfg := stream.CachedInfo().Config
	require.Equal(t, []string{"aegis.log.aegistest.v1.EventService.>"}, cfg.Subjects)
	require.Equal(t, time.Hour, cfg.MaxAge)
	require.Equal(t, time.Minute, cfg.Duplicates)
	require.Equal(t, jetstream.DiscardNew, cfg.Discard)
	require.Equal(t, jetstream.LimitsPolicy, cfg.Retention)
	require.Equal(t, jetstream.FileStorage, cfg.Storage)
	require.Equal(t, int64(-1), cfg.MaxBytes)

	var log logs
	other := aegis.Storage{MaxAge: 2 * time.Hour, MaxBytes: 1 << 20, DedupeWindow: time.Second}
	mustStore(t, newPublisher(t, another(t, conn, log.option()), aegis.WithStorage(other)), "")
	require.Equal(t, 1, log.count("max_age is 1h0m0s in place of 2h0m0s, max_bytes is 0 in place of 1048576, duplicate_window is 1m0s in place of 1s"))
	stream, err = js.Stream(t.Context(), eventStream)
	require.NoError(t, err)
	require.Equal(t, time.Hour, stream.CachedInfo().Config.MaxAge, "it stays")

	other.Update = true
	mustStore(t, newPublisher(t, conn, aegis.WithStorage(other)), "")
	stream, err = js.Stream(t.Context(), eventStream)
	require.NoError(t, err)
	cfg = stream.CachedInfo().Config
	require.Equal(t, 2*time.Hour, cfg.MaxAge)
	require.Equal(t, time.Second, cfg.Duplicates)
	require.Equal(t, int64(1<<20), cfg.MaxBytes)
}

func TestStreamThatCannotBeWorkedWithIsAnErrorThatShowsBoth(t *testing.T) {
	t.Parallel()
	for what, cfg := range map[string]jetstream.StreamConfig{
		"its retention is WorkQueue, and Limits is needed":       {Retention: jetstream.WorkQueuePolicy},
		"its storage is Memory, and File is needed":              {Storage: jetstream.MemoryStorage},
		"its list of subjects is [x], and [aegis.log.aegistest.": {Subjects: []string{"x"}},
	} {
		conn := connect(t)
		cfg.Name = eventStream
		if cfg.Subjects == nil {
			cfg.Subjects = []string{"aegis.log.>"}
		}
		_, err := jetStream(t, conn).CreateStream(t.Context(), cfg)
		require.NoError(t, err)
		_, err = newPublisher(t, conn).Stored(t.Context(), stored(""))
		require.ErrorContains(t, err, what)
		require.Equal(t, aegis.CodeFailedPrecondition, aegis.CodeOf(err))
		srv, err := aegis.NewServer(conn)
		require.NoError(t, err)
		require.NoError(t, subscribeTo(srv, handlers{Stored: (&diary{}).stored}))
		require.ErrorContains(t, srv.Run(t.Context()), what)
	}
}

func TestWithoutCreatingStreamsAndConsumersMustExist(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	must := aegis.WithStorage(aegis.Storage{NoCreate: true})
	_, err := newPublisher(t, conn, must).Stored(t.Context(), stored(""))
	require.ErrorContains(t, err, "the stream "+eventStream+" does not exist and may not be made here; make it with the subjects aegis.log.aegistest.v1.EventService.>")
	require.Equal(t, aegis.CodeFailedPrecondition, aegis.CodeOf(err))
	run := func() error {
		srv, err := aegis.NewServer(conn)
		require.NoError(t, err)
		require.NoError(t, subscribeTo(srv, handlers{Stored: (&diary{}).stored}, must))
		return srv.Run(t.Context())
	}
	require.ErrorContains(t, run(), "the stream "+eventStream+" does not exist")
	js := jetStream(t, conn)
	_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{Name: eventStream, Subjects: []string{"aegis.log.>"}, Discard: jetstream.DiscardNew})
	require.NoError(t, err)
	require.ErrorContains(t, run(), "the consumer g-store-Stored of the stream "+eventStream+" does not exist and may not be made here")
	consumer := jetstream.ConsumerConfig{
		Name: "g-store-Stored", Durable: "g-store-Stored", FilterSubject: "aegis.log.aegistest.v1.EventService.Stored.*", AckPolicy: jetstream.AckExplicitPolicy,
	}
	for what, change := range map[string]func(*jetstream.ConsumerConfig){
		"its filter is [aegis.log.x]":              func(c *jetstream.ConsumerConfig) { c.FilterSubject = "aegis.log.x" },
		"its max_deliver is 3, and -1 is needed":   func(c *jetstream.ConsumerConfig) { c.MaxDeliver = 3 },
		"its max_ack_pending is 1, and 10000 is":   func(c *jetstream.ConsumerConfig) { c.MaxAckPending = 1 },
		"its ack_policy is AckAll, and AckExplici": func(c *jetstream.ConsumerConfig) { c.AckPolicy = jetstream.AckAllPolicy },
	} {
		wrong := consumer
		change(&wrong)
		_, err = js.CreateConsumer(t.Context(), eventStream, wrong)
		require.NoError(t, err)
		require.ErrorContains(t, run(), what)
		require.NoError(t, js.DeleteConsumer(t.Context(), eventStream, "g-store-Stored"))
	}
	_, err = js.CreateConsumer(t.Context(), eventStream, consumer)
	require.NoError(t, err)
	require.ErrorContains(t, run(), "the stream aegis-dead-aegistest-v1-EventService does not exist and may not be made here")
	_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{
		Name: "aegis-dead-aegistest-v1-EventService", Subjects: []string{"aegis.dead.>"}, Discard: jetstream.DiscardNew,
	})
	require.NoError(t, err)
	var d diary
	var log logs
	subscribe(t, conn, handlers{Stored: d.stored}, []aegis.ServerOption{log.option()}, must)
	mustStore(t, newPublisher(t, conn, must), "x")
	d.becomes(t, "x")
	require.Contains(t, log.String(), "ack_wait is 30s in place of 1s, max_ack_pending is 1000 in place of 10000")
}

func TestEventsWithoutJetStream(t *testing.T) {
	t.Parallel()
	off := startRestartable(t)
	conn := connectTo(t, off.url)
	_, err := newPublisher(t, conn).Stored(t.Context(), stored(""))
	require.Equal(t, aegis.CodeUnavailable, aegis.CodeOf(err))
	require.ErrorContains(t, err, "JetStream is not available: enable it on the NATS servers")
	_, err = newPublisher(t, conn).StoredAsync(t.Context(), stored(""))
	require.ErrorContains(t, err, "JetStream is not available")
	// The rest of the server works.
	var log logs
	aegistest.Serve(t, conn, func(srv *aegis.Server) error {
		if err := registerProbe(srv); err != nil {
			return err
		}
		return subscribeTo(srv, handlers{Stored: (&diary{}).stored})
	}, log.option())
	_, err = newClient(t, conn).Do(t.Context(), doRequest(""))
	require.NoError(t, err)
	require.Contains(t, log.String(), "JetStream is not available")
}

func TestStreamThatIsFullRefusesAndLosesNothing(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	pub := newPublisher(t, conn, aegis.WithStorage(aegis.Storage{MaxBytes: 1000}))
	n := 0
	var err error
	for ; err == nil && n < 100; n++ {
		_, err = pub.Stored(t.Context(), &testv1.StoredRequest{Data: make([]byte, 100)})
	}
	require.Equal(t, aegis.CodeResourceExhausted, aegis.CodeOf(err))
	require.ErrorContains(t, err, "the stream is full")
	f, err := pub.StoredAsync(t.Context(), &testv1.StoredRequest{Data: make([]byte, 100)})
	require.NoError(t, err)
	_, err = f.Ack(t.Context())
	require.Equal(t, aegis.CodeResourceExhausted, aegis.CodeOf(err))
	var d diary
	subscribe(t, conn, handlers{Stored: d.stored}, nil, aegis.StartFrom(aegis.StartAll()))
	settled(t, conn, "g-store-Stored")
	require.Len(t, d.all(), n-1)
}

func TestConsumerThatWasDeletedGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	js := jetStream(t, conn)
	var d diary
	subscribe(t, conn, handlers{Stored: d.stored}, nil)
	pub := newPublisher(t, conn)
	mustStore(t, pub, "1")
	settled(t, conn, "g-store-Stored")
	for i := 2; i <= 4; i++ {
		require.NoError(t, js.DeleteConsumer(t.Context(), eventStream, "g-store-Stored"))
		mustStore(t, pub, strconv.Itoa(i))
		eventually(t, "it is handled", func() bool { return d.count(strconv.Itoa(i)) > 0 })
	}
	require.Subset(t, d.all(), []string{"1", "2", "3", "4"})
}

func TestStreamThatWasDeletedIsMadeAnew(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	js := jetStream(t, conn)
	var d diary
	subscribe(t, conn, handlers{Stored: d.stored}, nil)
	pub := newPublisher(t, conn)
	for i := range 5 {
		mustStore(t, pub, strconv.Itoa(i))
	}
	settled(t, conn, "g-store-Stored")
	require.NoError(t, js.DeleteStream(t.Context(), eventStream))
	// With an id, as what meets a stream that is just being deleted has no answer.
	require.Equal(t, uint64(1), mustStore(t, pub, "new", aegis.MessageID("new")).Sequence)
	d.becomes(t, "0", "1", "2", "3", "4", "new")
	require.NoError(t, js.DeleteStream(t.Context(), eventStream))
	f, err := pub.StoredAsync(t.Context(), stored("newer"), aegis.MessageID("newer"))
	require.NoError(t, err)
	_, err = f.Ack(t.Context())
	require.NoError(t, err)
	eventually(t, "it is handled", func() bool { return d.count("newer") == 1 })
}

func TestStreamsOnSeveralServersNeedThem(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	three := aegis.WithStorage(aegis.Storage{Replicas: 3})
	_, err := newPublisher(t, conn, three).Stored(t.Context(), stored(""))
	require.ErrorContains(t, err, "replicas > 1 not supported in non-clustered mode")
	_, err = newJobClient(t, conn, three).Work(t.Context(), &testv1.WorkRequest{})
	require.ErrorContains(t, err, "replicas > 1 not supported in non-clustered mode")
}

const eventPermissions = `
authorization {
  users = [
    {user: all, password: pw, permissions: {publish: [">"], subscribe: [">"]}}
    {user: nojs, password: pw, permissions: {publish: {deny: ["$JS.>"]}, subscribe: [">"]}}
    {user: nopublish, password: pw, permissions: {publish: {deny: ["aegis.log.>"]}, subscribe: [">"]}}
    {user: publisher, password: pw, permissions: {
      publish: ["aegis.log.aegistest.v1.EventService.>", "$JS.API.STREAM.INFO.aegis-events-aegistest-v1-EventService", "aegis.*._void.*"]
      subscribe: ["_INBOX.>"]
    }}
    {user: unrecorded, password: pw, permissions: {
      publish: ["$JS.API.STREAM.INFO.aegis-events-aegistest-v1-EventService", "$JS.API.CONSUMER.INFO.aegis-events-aegistest-v1-EventService.>",
                "$JS.API.CONSUMER.CREATE.aegis-events-aegistest-v1-EventService.>", "$JS.API.CONSUMER.MSG.NEXT.aegis-events-aegistest-v1-EventService.>",
                "$JS.ACK.aegis-events-aegistest-v1-EventService.>", "aegis.live.*", "aegis.*._void.*", UNRECORDED
                "aegis.dead.aegistest.v1.EventService.>", "$JS.API.STREAM.INFO.aegis-dead-aegistest-v1-EventService",
                "$JS.API.STREAM.CREATE.aegis-dead-aegistest-v1-EventService", "$JS.API.STREAM.INFO.KV_aegis-registry"]
      subscribe: ["_INBOX.>", "aegis.live.*", "$SRV.>", "aegis.desc.aegistest.v1.EventService.* aegis"]
    }}
    {user: subscriber, password: pw, permissions: {
      publish: ["$JS.API.STREAM.INFO.aegis-attempts-aegistest-v1-EventService", "$JS.API.STREAM.CREATE.aegis-attempts-aegistest-v1-EventService",
                "$JS.API.STREAM.MSG.GET.aegis-attempts-aegistest-v1-EventService", "$JS.API.STREAM.PURGE.aegis-attempts-aegistest-v1-EventService",
                "aegis.try.aegistest.v1.EventService.>",
                "$JS.API.STREAM.INFO.aegis-events-aegistest-v1-EventService", "$JS.API.CONSUMER.INFO.aegis-events-aegistest-v1-EventService.>",
                "$JS.API.CONSUMER.CREATE.aegis-events-aegistest-v1-EventService.>", "$JS.API.CONSUMER.MSG.NEXT.aegis-events-aegistest-v1-EventService.>",
                "$JS.ACK.aegis-events-aegistest-v1-EventService.>", "$JS.ACK.*.*.aegis-events-aegistest-v1-EventService.>",
                "$JS.API.STREAM.INFO.aegis-dead-aegistest-v1-EventService", "$JS.API.STREAM.CREATE.aegis-dead-aegistest-v1-EventService",
                "aegis.dead.aegistest.v1.EventService.>", "aegis.grp.aegistest.v1.EventService.>", "aegis.live.*", "aegis.*._void.*",
                "$JS.API.STREAM.INFO.KV_aegis-registry", "$JS.API.STREAM.CREATE.KV_aegis-registry", "$JS.API.STREAM.MSG.GET.KV_aegis-registry",
                "$KV.aegis-registry.aegistest.v1.EventService._events.*", "aegis.beat.aegistest.v1.EventService._events.*"]
      subscribe: ["_INBOX.>", "aegis.live.*", "aegis.beat.aegistest.v1.EventService._events.*", "aegis.grp.aegistest.v1.EventService.>", "$SRV.>",
                  "aegis.desc.aegistest.v1.EventService.* aegis"]
    }}
  ]
}
`

func TestPermissionsOfEvents(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "nats.conf")
	require.NoError(t, os.WriteFile(path, []byte(strings.Replace(eventPermissions, "UNRECORDED", "", 1)), 0o600))
	n := aegistest.StartNATSWithConfig(t, path)
	as := func(user string, opts ...aegis.ConnOption) *aegis.Conn {
		return connectTo(t, strings.Replace(n.URL(), "://", "://"+user+":pw@", 1), opts...)
	}
	_, err := newPublisher(t, as("nojs")).Stored(t.Context(), stored(""))
	require.Equal(t, aegis.CodePermissionDenied, aegis.CodeOf(err))
	require.ErrorContains(t, err, "this user may not use JetStream's STREAM.INFO."+eventStream+"; see the least permissions in docs/protocol.md")
	srv := subscribe(t, as("nojs"), handlers{Stored: (&diary{}).stored}, nil, aegis.Compete("g"))
	require.ErrorContains(t, srv.Ready(t.Context()), "cannot work: the stream "+eventStream+": this user may not use JetStream")
	mustStore(t, newPublisher(t, as("all")), "") // makes the stream
	_, err = newPublisher(t, as("nopublish")).Stored(t.Context(), stored(""))
	require.Equal(t, aegis.CodePermissionDenied, aegis.CodeOf(err))
	require.ErrorContains(t, err, "publish to aegis.log.aegistest.v1.EventService.Stored.0")

	// The documented ones are enough.
	var log logs
	var d diary
	subscribe(t, as("subscriber", log.option()), handlers{
		Stored: func(ctx context.Context, ev *testv1.StoredRequest) error {
			_ = d.stored(ctx, ev)
			if ev.GetText() == "twice" && d.count("twice") == 1 {
				return errWrong
			}
			return aegis.Permanent(errWrong)
		},
		Keyed: func(context.Context, *testv1.KeyedRequest) error { d.notef("keyed"); return nil },
	}, []aegis.ServerOption{aegis.WithRegistryBucket(aegis.BucketConfig{NoCreate: true})}, aegis.Compete("g"))
	publisher := newPublisher(t, as("publisher", log.option()))
	mustStore(t, publisher, "x")
	eventually(t, "it is handled and dead", func() bool {
		return d.count("x") == 1 && len(deadLetters(t, as("all"), "aegistest.v1.EventService")) == 1
	})
	mustStore(t, publisher, "twice")
	eventually(t, "attempts are recorded, as long as they are needed", func() bool {
		stream, err := jetStream(t, as("all")).Stream(t.Context(), attemptStream)
		return err == nil && d.count("twice") == 2 && stream.CachedInfo().State.LastSeq > 0 && stream.CachedInfo().State.Msgs == 0
	})
	eventually(t, "keyed ones too", func() bool {
		_, err := publisher.Keyed(t.Context(), &testv1.KeyedRequest{})
		require.NoError(t, err)
		return d.count("keyed") > 0
	})
	require.NotContains(t, log.String(), "ermission")
}

// Deliveries count where attempts cannot be recorded, and that is said once.
func TestSubscribersThatMayNotRecordAttemptsCountDeliveries(t *testing.T) {
	t.Parallel()
	attempts := func(api string) string { return `"$JS.API.STREAM.` + api + `.` + attemptStream + `",` }
	for name, permitted := range map[string]string{
		"nothing": "",
		"find":    attempts("INFO"),
		"make":    attempts("INFO") + attempts("CREATE"),
		"read":    attempts("INFO") + attempts("CREATE") + attempts("MSG.GET"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "nats.conf")
			require.NoError(t, os.WriteFile(path, []byte(strings.Replace(eventPermissions, "UNRECORDED", permitted, 1)), 0o600))
			n := aegistest.StartNATSWithConfig(t, path)
			as := func(user string, opts ...aegis.ConnOption) *aegis.Conn {
				return connectTo(t, strings.Replace(n.URL(), "://", "://"+user+":pw@", 1), opts...)
			}
			all := as("all")
			pub := newPublisher(t, all)
			mustStore(t, pub, "x")
			var log logs
			var d diary
			subscribe(t, as("unrecorded", log.option()), handlers{Stored: func(ctx context.Context, ev *testv1.StoredRequest) error {
				delivery, _ := aegis.DeliveryFromContext(ctx)
				d.notef("%s %d", ev.GetText(), delivery.Attempt)
				return errWrong
			}}, []aegis.ServerOption{aegis.WithRegistryBucket(aegis.BucketConfig{NoCreate: true})}, aegis.Compete("g"), aegis.StartFrom(aegis.StartAll()))
			mustStore(t, pub, "y")
			eventually(t, "they are dead", func() bool { return len(deadLetters(t, all, "aegistest.v1.EventService")) == 2 })
			require.ElementsMatch(t, []string{"x 1", "x 2", "x 3", "y 1", "y 2", "y 3"}, d.all())
			require.Equal(t, 1, log.count("attempts cannot be recorded"), log.String())
		})
	}
}

// restartJetStream is startRestartable with a store that survives.
func restartJetStream(t *testing.T) *restartable {
	t.Helper()
	dir := t.TempDir()
	r := startRestartable(t)
	r.store = dir
	r.down()
	r.up()
	return r
}

func TestNothingIsLostWhileNATSRestarts(t *testing.T) {
	t.Parallel()
	restarted := restartJetStream(t)
	subConn, pubConn := connectTo(t, restarted.url), connectTo(t, restarted.url)
	var d diary
	subscribe(t, subConn, handlers{Stored: d.stored}, nil)
	pub := newPublisher(t, pubConn)
	const events = 300
	var published atomic.Int64
	done := async(func() (any, error) {
		for i := range events {
			id := strconv.Itoa(i)
			if i%3 == 0 {
				f, err := pub.StoredAsync(t.Context(), stored(id), aegis.MessageID(id))
				if err == nil {
					_, err = f.Ack(t.Context())
				}
				if err != nil {
					return nil, fmt.Errorf("async %d: %w", i, err)
				}
			} else if _, err := pub.Stored(t.Context(), stored(id), aegis.MessageID(id)); err != nil {
				return nil, fmt.Errorf("%d: %w", i, err)
			}
			published.Add(1)
		}
		return nil, nil
	})
	for _, n := range []int64{50, 150} {
		eventually(t, "some are published", func() bool { return published.Load() > n || len(done) > 0 })
		restarted.down(subConn, pubConn)
		restarted.up()
	}
	require.NoError(t, receive(t, "all are published", done).err)
	eventually(t, "all are handled", func() bool {
		seen := map[string]bool{}
		for _, id := range d.all() {
			seen[id] = true
		}
		return len(seen) == events
	})
}
