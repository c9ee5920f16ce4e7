package aegis_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/aegisrpc/aegis/examples/order/gen/order/v1/orderv1aegis"
	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	aegisv1 "github.com/aegisrpc/aegis/proto/aegis/v1"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

// limitedAccount starts a NATS server whose one account has limits: of JetStream, and of
// its connections.
func limitedAccount(t *testing.T, jetStream, connections string) *aegistest.NATS {
	t.Helper()
	path := filepath.Join(t.TempDir(), "nats.conf")
	require.NoError(t, os.WriteFile(path, fmt.Appendf(nil, `
accounts {
  LIMITED {
    users = [{user: u, password: p}]
    jetstream: {%s}
    limits: {%s}
  }
}
no_auth_user: u
`, jetStream, connections), 0o600))
	return aegistest.StartNATSWithConfig(t, path)
}

// sized is an account of hosted NATS.
const sized = "max_bytes_required: true, max_file: 1GB"

func TestLeadersAreElectedWhereEachStreamNeedsASize(t *testing.T) {
	t.Parallel()
	conn := limitedAccount(t, sized, "").Connect(t, silent())
	srv := aegistest.Serve(t, conn, func(srv *aegis.Server) error {
		return orderv1aegis.RegisterOrderServiceServer(srv, &desk{}, fast, aegis.WithStorage(aegis.Storage{MaxBytes: 1 << 20}))
	})
	eventually(t, "it leads, and is ready", func() bool { return leadsNow(srv) && srv.Ready(t.Context()) == nil })
	js := jetStream(t, conn)
	for name, size := range map[string]int64{"KV_aegis-leaders": 16 << 20, "KV_aegis-registry": 64 << 20} {
		stream, err := js.Stream(t.Context(), name)
		require.NoError(t, err)
		require.Equal(t, size, stream.CachedInfo().Config.MaxBytes)
		require.Equal(t, jetstream.DiscardNew, stream.CachedInfo().Config.Discard)
	}
}

func leadsNow(srv *aegis.Server) bool {
	for range srv.Leading() {
		return true
	}
	return false
}

func TestBucketsHaveTheSizeThatIsAskedFor(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	srv := aegistest.Serve(t, conn, func(srv *aegis.Server) error {
		return orderv1aegis.RegisterOrderServiceServer(srv, &desk{}, fast)
	}, aegis.WithLeaderBucket(aegis.BucketConfig{MaxBytes: 1 << 20}), aegis.WithRegistryBucket(aegis.BucketConfig{MaxBytes: 1 << 21}))
	eventually(t, "it leads", func() bool { return leadsNow(srv) })
	js := jetStream(t, conn)
	for name, size := range map[string]int64{"KV_aegis-leaders": 1 << 20, "KV_aegis-registry": 1 << 21} {
		stream, err := js.Stream(t.Context(), name)
		require.NoError(t, err)
		require.Equal(t, size, stream.CachedInfo().Config.MaxBytes)
	}
	for _, wrong := range []aegis.ServerOption{
		aegis.WithLeaderBucket(aegis.BucketConfig{MaxBytes: -1}), aegis.WithRegistryBucket(aegis.BucketConfig{Replicas: 7}),
	} {
		_, err := aegis.NewServer(conn, wrong)
		require.ErrorIs(t, err, aegis.ErrInvalidOption)
	}
}

// On hosted NATS: without a size the error says how it is set.
func TestStreamsAreMadeWhereEachNeedsASize(t *testing.T) {
	t.Parallel()
	conn := limitedAccount(t, sized, "").Connect(t, silent())
	js := jetStream(t, conn)
	for _, err := range []error{
		func() error { _, err := newJobClient(t, conn).Work(t.Context(), &testv1.WorkRequest{}); return err }(),
		func() error { _, err := newPublisher(t, conn).Stored(t.Context(), stored("")); return err }(),
	} {
		require.Equal(t, aegis.CodeFailedPrecondition, aegis.CodeOf(err))
		require.ErrorContains(t, err, "MaxBytes of aegis.WithStorage")
	}
	srv, err := aegis.NewServer(conn)
	require.NoError(t, err)
	require.NoError(t, registerJobs(jobs{})(srv))
	require.ErrorContains(t, srv.Run(t.Context()), "set max_bytes in command_storage of the proto, or MaxBytes of aegis.WithStorage")

	size := aegis.WithStorage(aegis.Storage{MaxBytes: 1 << 20, DeadLettersMaxBytes: 1 << 19})
	var d diary
	subscribe(t, conn, handlers{Stored: d.stored}, nil, size)
	mustStore(t, newPublisher(t, conn, size), "x")
	d.becomes(t, "x")
	ready := worker(t, conn, jobs{}, aegis.WithStorage(aegis.Storage{MaxBytes: 1 << 20, ResultsMaxBytes: 1 << 21}))
	require.NoError(t, ready.Ready(t.Context()))
	require.Equal(t, "x", mustResult(t, send(t, newJobClient(t, conn), "x"))) // accepts what is there
	for name, size := range map[string]int64{
		eventStream: 1 << 20, "aegis-dead-aegistest-v1-EventService": 1 << 19,
		commandStream: 1 << 20, resultStream: 1 << 21, "aegis-dead-aegistest-v1-JobService": 1 << 20,
	} {
		stream, err := js.Stream(t.Context(), name)
		require.NoError(t, err)
		cfg := stream.CachedInfo().Config
		require.Equal(t, size, cfg.MaxBytes, name)
		require.Equal(t, jetstream.DiscardNew, cfg.Discard, name)
	}
}

func TestQueueWithASizeRefusesAndLosesNothing(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	desc := nextVersion(t, testv1.File_aegistest_v1_commands_proto, "JobService", func(s *descriptorpb.ServiceDescriptorProto) {
		s.Options = &descriptorpb.ServiceOptions{}
		proto.SetExtension(s.Options, aegisv1.E_Service, &aegisv1.ServiceOptions{CommandStorage: &aegisv1.Storage{MaxBytes: proto.Uint64(20_000)}})
	})
	c, err := aegis.NewClient(conn, desc)
	require.NoError(t, err)
	work := aegis.NewCommandMethod[testv1.WorkRequest, testv1.WorkResponse](c, "Work")
	text := strings.Repeat("x", 500)
	var sent []*workCommand
	for err == nil && len(sent) < 1000 {
		var cmd *workCommand
		if cmd, err = work.Send(t.Context(), &testv1.WorkRequest{Text: text}); err == nil {
			sent = append(sent, cmd)
		}
	}
	require.Equal(t, aegis.CodeResourceExhausted, aegis.CodeOf(err))
	require.ErrorContains(t, err, "the stream is full")
	require.NotEmpty(t, sent)
	// A client that asks for no size has the same queue.
	_, err = newJobClient(t, conn).Work(t.Context(), &testv1.WorkRequest{Text: text})
	require.Equal(t, aegis.CodeResourceExhausted, aegis.CodeOf(err))
	worker(t, conn, jobs{})
	for _, cmd := range sent {
		require.Equal(t, text, mustResult(t, cmd))
	}
	later := aegis.NotBefore(time.Now().Add(time.Hour))
	_, err = work.Send(t.Context(), &testv1.WorkRequest{}, later)
	require.Equal(t, aegis.CodeFailedPrecondition, aegis.CodeOf(err))
	require.ErrorContains(t, err, "the queue takes no delayed commands (NotBefore), as it has a size")
	_, err = newJobClient(t, conn).Work(t.Context(), &testv1.WorkRequest{}, later)
	require.ErrorContains(t, err, "the queue takes no delayed commands (NotBefore), as it has a size")
}

// A size and discard old would drop commands that nobody has worked.
func TestQueueThatDropsCommandsIsNotUsed(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	js := jetStream(t, conn)
	cfg := jetstream.StreamConfig{
		Name: commandStream, Subjects: []string{"aegis.cmd.aegistest.v1.JobService.>", "aegis.cmdat.aegistest.v1.JobService.>"},
		Retention: jetstream.WorkQueuePolicy, AllowMsgSchedules: true, AllowRollup: true, MaxBytes: 1000,
	}
	_, err := js.CreateStream(t.Context(), cfg)
	require.NoError(t, err)
	_, err = newJobClient(t, conn).Work(t.Context(), &testv1.WorkRequest{})
	require.Equal(t, aegis.CodeFailedPrecondition, aegis.CodeOf(err))
	require.ErrorContains(t, err, "it drops commands that nobody has worked; change that with nats stream edit "+commandStream+" --max-bytes=-1")
	update := aegis.WithStorage(aegis.Storage{Update: true})
	send(t, newJobClient(t, conn, update), "")
	stream, err := js.Stream(t.Context(), commandStream)
	require.NoError(t, err)
	require.Equal(t, int64(-1), stream.CachedInfo().Config.MaxBytes)
	// It has schedules, which cannot be taken from it.
	var log logs
	send(t, newJobClient(t, another(t, conn, log.option()), aegis.WithStorage(aegis.Storage{MaxBytes: 1000})), "")
	require.Contains(t, log.String(), "max_bytes is 0 in place of 1000")
	_, err = newJobClient(t, conn, aegis.WithStorage(aegis.Storage{MaxBytes: 1000, Update: true})).Work(t.Context(), &testv1.WorkRequest{})
	require.ErrorContains(t, err, "it takes delayed commands (allow_msg_schedules)")
}

func TestConsumersAreMadeWithTheMaxAckPendingThatIsAllowed(t *testing.T) {
	t.Parallel()
	for what, n := range map[string]*aegistest.NATS{
		"of the account": limitedAccount(t, "max_ack_pending: 100", ""),
		"of the stream":  limitedAccount(t, "", ""),
	} {
		conn := n.Connect(t, silent())
		js := jetStream(t, conn)
		if what == "of the stream" {
			for name, cfg := range map[string]jetstream.StreamConfig{
				eventStream:   {Subjects: []string{"aegis.log.aegistest.v1.EventService.>"}, Discard: jetstream.DiscardNew},
				commandStream: {Subjects: []string{"aegis.cmd.aegistest.v1.JobService.>", "aegis.cmdat.aegistest.v1.JobService.>"}, Retention: jetstream.WorkQueuePolicy, AllowMsgSchedules: true, AllowRollup: true},
			} {
				cfg.Name, cfg.ConsumerLimits.MaxAckPending = name, 100
				_, err := js.CreateStream(t.Context(), cfg)
				require.NoError(t, err)
			}
		}
		var log logs
		var d diary
		subscribe(t, conn, handlers{Stored: d.stored}, []aegis.ServerOption{log.option()})
		srv := aegistest.Serve(t, conn, registerJobs(jobs{}), log.option())
		mustStore(t, newPublisher(t, conn), "x")
		d.becomes(t, "x")
		require.Equal(t, "y", mustResult(t, send(t, newJobClient(t, conn), "y")))
		require.NoError(t, srv.Ready(t.Context()))
		for stream, consumer := range map[string]string{eventStream: "g-store-Stored", commandStream: "w-Work-n"} {
			c, err := js.Consumer(t.Context(), stream, consumer)
			require.NoError(t, err)
			require.Equal(t, 100, c.CachedInfo().Config.MaxAckPending, what)
			require.Equal(t, 1, log.count("the consumer "+consumer+" of the stream "+stream+" may have 100 messages under way, and not 10000"), log.String())
		}
	}
}

func TestServerWhoseSubscriptionsAreRefusedDoesNotStart(t *testing.T) {
	t.Parallel()
	n := limitedAccount(t, "", "max_subscriptions: 6")
	var log logs
	nc, err := nats.Connect(n.URL(), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	programs, err := aegis.NewConn(nc, log.option())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, programs.Close(context.Background())) })
	for _, conn := range []*aegis.Conn{n.Connect(t, log.option()), programs} {
		srv, err := aegis.NewServer(conn)
		require.NoError(t, err)
		require.NoError(t, registerProbe(srv))
		ended := async(func() (any, error) { return nil, srv.Run(t.Context()) })
		require.ErrorContains(t, receive(t, "it does not start", ended).err, "max_subscriptions")
	}
	require.LessOrEqual(t, log.count("level=ERROR"), 1, log.String())
}

func TestServerWhoseSubscriptionsAreRefusedLaterIsNotReady(t *testing.T) {
	t.Parallel()
	n := limitedAccount(t, "", "max_subscriptions: 40")
	conn := n.Connect(t, silent())
	var log logs
	srv := aegistest.Serve(t, conn, registerProbe, log.option())
	require.NoError(t, srv.Ready(t.Context()))
	var subs []*nats.Subscription
	for i := range 40 {
		sub, err := conn.NATS().SubscribeSync(fmt.Sprint("x", i))
		require.NoError(t, err)
		subs = append(subs, sub)
	}
	eventually(t, "it is not ready", func() bool {
		err := srv.Ready(t.Context())
		return err != nil && strings.Contains(err.Error(), "max_subscriptions")
	})
	require.Equal(t, 1, log.count("level=ERROR"), log.String())
	// A new connection asks for all that is left.
	for _, sub := range subs {
		require.NoError(t, sub.Unsubscribe())
	}
	require.NoError(t, conn.NATS().ForceReconnect())
	eventually(t, "it is ready", func() bool { return srv.Ready(t.Context()) == nil })
}

func TestLimitOfAnAccountIsToldOnceAndMakesTheServerNotReady(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ limit, ready, text string }{
		"consumers": {"max_consumers: 1", "the commands of aegistest.v1.JobService", "raise max_consumers of the account or of the stream"},
		"streams":   {"max_streams: 2", "the commands of aegistest.v1.JobService", "raise max_streams of the account"},
		"storage":   {"max_file: 0", "the commands of aegistest.v1.JobService", "raise the storage of the account (max_file)"},
		// The registry, the queue and the results are there.
		"dead letters": {"max_streams: 3", "the dead letters of aegistest.v1.JobService", "raise max_streams of the account"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := limitedAccount(t, c.limit, "").Connect(t, silent())
			var log logs
			srv := aegistest.Serve(t, conn, func(srv *aegis.Server) error {
				if err := registerProbe(srv); err != nil {
					return err
				}
				return registerJobs(jobs{})(srv)
			}, log.option())
			_, err := newClient(t, conn).Do(t.Context(), doRequest(""))
			require.NoError(t, err, "the rest of the server works")
			require.ErrorContains(t, srv.Ready(t.Context()), c.ready)
			require.ErrorContains(t, srv.Ready(t.Context()), c.text)
			for line := range strings.Lines(log.String()) {
				require.Equal(t, 1, log.count(afterTime(line)), line)
			}
		})
	}
}

// afterTime is a line of a log without its time.
func afterTime(line string) string {
	_, rest, _ := strings.Cut(line, " ")
	return rest
}

func TestLimitThatAnOptionExceedsIsAnErrorThatNamesBoth(t *testing.T) {
	t.Parallel()
	conn := limitedAccount(t, "store_max_stream_bytes: 1000", "").Connect(t, silent())
	_, err := newPublisher(t, conn, aegis.WithStorage(aegis.Storage{MaxBytes: 2000})).Stored(t.Context(), stored(""))
	require.Equal(t, aegis.CodeFailedPrecondition, aegis.CodeOf(err))
	require.ErrorContains(t, err, "2000 bytes are asked for; ask for fewer")
	path := filepath.Join(t.TempDir(), "nats.conf")
	require.NoError(t, os.WriteFile(path, []byte(`jetstream: {limits: {duplicate_window: "10s"}}`), 0o600))
	conn = aegistest.StartNATSWithConfig(t, path).Connect(t, silent())
	_, err = newPublisher(t, conn).Stored(t.Context(), stored(""))
	require.ErrorContains(t, err, "ask for a shorter one: dedupe_window in the proto")
	mustStore(t, newPublisher(t, conn, aegis.WithStorage(aegis.Storage{DedupeWindow: 10 * time.Second})), "")
}

func TestDeadLettersThatCanBeKeptAgainMakeTheServerReady(t *testing.T) {
	t.Parallel()
	conn := limitedAccount(t, "max_streams: 4", "").Connect(t, silent())
	js := jetStream(t, conn)
	_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "other"})
	require.NoError(t, err)
	srv := worker(t, conn, jobs{})
	require.ErrorContains(t, srv.Ready(t.Context()), "the dead letters of "+jobService)
	require.NoError(t, js.DeleteStream(t.Context(), "other"))
	eventually(t, "it is ready", func() bool { return srv.Ready(t.Context()) == nil })
}

func TestServerThatCannotStandForElectionIsNotReady(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	a := stand(t, n, &desk{name: "a"}, aegis.WithLeaderBucket(aegis.BucketConfig{NoCreate: true}))
	eventually(t, "it is not ready", func() bool {
		err := a.srv.Ready(t.Context())
		return err != nil && strings.Contains(err.Error(), "the election of the group default of order.v1.OrderService cannot work")
	})
	leaderStream(t, n, func(*jetstream.StreamConfig) {})
	a.leads(t)
	eventually(t, "it is ready", func() bool { return a.srv.Ready(t.Context()) == nil })
}

func TestStreamOverTheSubjectsOfAnotherIsNamed(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	_, err := jetStream(t, conn).CreateStream(t.Context(), jetstream.StreamConfig{Name: "AUDIT", Subjects: []string{"aegis.*.aegistest.>"}})
	require.NoError(t, err)
	const text = "its subjects overlap with those of the stream AUDIT (aegis.*.aegistest.>)"
	_, err = newPublisher(t, conn).Stored(t.Context(), stored(""))
	require.ErrorContains(t, err, text)
	require.Equal(t, aegis.CodeFailedPrecondition, aegis.CodeOf(err))
	_, err = newJobClient(t, conn).Work(t.Context(), &testv1.WorkRequest{})
	require.ErrorContains(t, err, text)
	for _, register := range []func(*aegis.Server) error{
		registerJobs(jobs{}),
		func(srv *aegis.Server) error { return subscribeTo(srv, handlers{Stored: (&diary{}).stored}) },
	} {
		srv, err := aegis.NewServer(conn)
		require.NoError(t, err)
		require.NoError(t, register(srv))
		ended := async(func() (any, error) { return nil, srv.Run(t.Context()) })
		require.ErrorContains(t, receive(t, "it does not start", ended).err, text)
	}
}
