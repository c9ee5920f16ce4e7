package aegis_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/aegisrpc/aegis/internal/lossy"
	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	aegisv1 "github.com/aegisrpc/aegis/proto/aegis/v1"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

// through connects through a link that decides what becomes of each message.
func through(t testing.TB, conn *aegis.Conn, delay time.Duration, decide func(*lossy.Message) lossy.Fate) *aegis.Conn {
	t.Helper()
	u, err := url.Parse(conn.NATS().ConnectedUrl())
	require.NoError(t, err)
	link, err := lossy.New(u.Host, delay, decide)
	require.NoError(t, err)
	t.Cleanup(link.Close)
	return connectTo(t, link.URL())
}

// slowAPI is a JetStream whose API takes four times the ack wait of the tests,
// for who is connected through it.
type slowAPI struct {
	slow    atomic.Bool
	delayed atomic.Int64
	inboxes sync.Map // where messages were asked for
	nc      *nats.Conn
}

func newSlowAPI(t testing.TB, conn *aegis.Conn) *slowAPI {
	t.Helper()
	s := &slowAPI{nc: plain(t, conn)}
	_, err := s.nc.Subscribe("$JS.API.CONSUMER.MSG.NEXT.>", func(msg *nats.Msg) { s.inboxes.Store(msg.Reply, true) })
	require.NoError(t, err)
	require.NoError(t, s.nc.Flush())
	return s
}

func (s *slowAPI) decide(m *lossy.Message) lossy.Fate {
	if s.slow.Load() && bytes.HasPrefix(m.Payload, []byte(`{"type":"io.nats.jetstream.api.v1.`)) {
		s.delayed.Add(1)
		return lossy.Delayed
	}
	return lossy.Passed
}

// search makes all who ask for messages look for their consumers, as they do when
// another server leads.
func (s *slowAPI) search(t testing.TB) {
	t.Helper()
	s.slow.Store(true)
	s.inboxes.Range(func(inbox, _ any) bool {
		require.NoError(t, s.nc.PublishMsg(&nats.Msg{
			Subject: fmt.Sprint(inbox), Header: nats.Header{"Status": {"409"}, "Description": {"Leadership Change"}},
		}))
		return true
	})
	eventually(t, "the API was slow once, and is again", func() bool { return s.delayed.Load() >= 2 })
}

// redelivered is how many messages were delivered more than once.
func redelivered(t testing.TB, conn *aegis.Conn) int {
	t.Helper()
	n := 0
	js := jetStream(t, conn)
	for name := range js.StreamNames(t.Context()).Name() {
		stream, err := js.Stream(t.Context(), name)
		require.NoError(t, err)
		for info := range stream.ListConsumers(t.Context()).Info() {
			n += info.NumRedelivered
		}
	}
	return n
}

func TestWhatIsHandledIsKeptWhileTheAPIIsSlow(t *testing.T) {
	t.Parallel()
	for name, begin := range map[string]func(t *testing.T, slow, well *aegis.Conn, runs *atomic.Int64, hold <-chan struct{}){
		"event": func(t *testing.T, slow, well *aegis.Conn, runs *atomic.Int64, hold <-chan struct{}) {
			t.Helper()
			handle := func(context.Context, *testv1.StoredRequest) error {
				runs.Add(1)
				<-hold
				return nil
			}
			subscribe(t, slow, handlers{Stored: handle}, nil)
			mustStore(t, newPublisher(t, well), "")
			eventually(t, "it is handled", func() bool { return runs.Load() == 1 })
			subscribe(t, well, handlers{Stored: handle}, nil)
		},
		"event with a key": func(t *testing.T, slow, well *aegis.Conn, runs *atomic.Int64, hold <-chan struct{}) {
			t.Helper()
			handle := func(context.Context, *testv1.KeyedRequest) error {
				runs.Add(1)
				<-hold
				return nil
			}
			subscribe(t, slow, handlers{Keyed: handle}, nil, aegis.Compete("g"), aegis.StartFrom(aegis.StartAll()))
			_, err := newPublisher(t, well).Keyed(t.Context(), &testv1.KeyedRequest{Key: "k"})
			require.NoError(t, err)
			eventually(t, "it is handled", func() bool { return runs.Load() == 1 })
			// Nobody else, who might take the partition over; see redelivered.
		},
		"command": func(t *testing.T, slow, well *aegis.Conn, runs *atomic.Int64, hold <-chan struct{}) {
			t.Helper()
			work := jobs{work: func(context.Context, *testv1.WorkRequest) (*testv1.WorkResponse, error) {
				runs.Add(1)
				<-hold
				return &testv1.WorkResponse{}, nil
			}}
			worker(t, slow, work)
			send(t, newJobClient(t, well), "")
			eventually(t, "it is worked", func() bool { return runs.Load() == 1 })
			worker(t, well, work)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			well := connect(t)
			api := newSlowAPI(t, well)
			var runs atomic.Int64
			hold := make(chan struct{})
			defer close(hold)
			defer api.slow.Store(false)
			begin(t, through(t, well, 4*time.Second, api.decide), well, &runs, hold)
			api.search(t)
			require.Equal(t, int64(1), runs.Load(), "handlers of one message that ran")
			require.Zero(t, redelivered(t, well))
		})
	}
}

// limited makes a consumer that may have five messages under way, as somebody
// else may have done.
func limited(t testing.TB, conn *aegis.Conn, stream, name, filter string) jetstream.Consumer {
	t.Helper()
	c, err := jetStream(t, conn).CreateConsumer(t.Context(), stream, jetstream.ConsumerConfig{
		Name: name, Durable: name, FilterSubject: filter, AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: 5, AckWait: time.Hour,
	})
	require.NoError(t, err)
	return c
}

func TestGroupWhoseEventsAllWaitForTheirNextAttemptSaysSo(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	pub := newPublisher(t, conn)
	for i := range 8 {
		mustStore(t, pub, strconv.Itoa(i))
	}
	limited(t, conn, eventStream, storedConsumer, "aegis.log.aegistest.v1.EventService.Stored.*")
	var mended atomic.Bool
	var d diary
	var log logs
	srv := subscribe(t, conn, handlers{Stored: func(ctx context.Context, ev *testv1.StoredRequest) error {
		if !mended.Load() {
			return errWrong
		}
		return d.stored(ctx, ev)
	}}, []aegis.ServerOption{log.option()}, aegis.WithMaxConcurrency(8), aegis.WithRedelivery(100, 500*time.Millisecond, 500*time.Millisecond))
	saysThatAllWaits(t, srv, &log, "the events of aegistest.v1.EventService.Stored cannot work: the consumer g-store-Stored of the stream "+eventStream)
	mended.Store(true)
	eventually(t, "all are handled", func() bool { return len(d.all()) >= 8 })
	eventually(t, "it is ready again", func() bool { return srv.Ready(t.Context()) == nil })
	require.Equal(t, 1, log.count("cannot work"))
	require.Equal(t, 1, log.count("can work again"))
	require.Empty(t, deadLetters(t, conn, "aegistest.v1.EventService"))
}

func saysThatAllWaits(t *testing.T, srv *aegis.Server, log *logs, says string) {
	t.Helper()
	eventually(t, "it is not ready", func() bool { return srv.Ready(t.Context()) != nil })
	err := srv.Ready(t.Context())
	require.ErrorContains(t, err, says+" has 5 messages under way or waiting for their next attempt, which is all that its max_ack_pending allows; 3 more are not delivered")
	require.Equal(t, 1, log.count("cannot work"), log.String())
}

func TestWorkerWhoseCommandsAllWaitForTheirNextAttemptSaysSo(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	client := newJobClient(t, conn)
	var commands []*workCommand
	for i := range 8 {
		commands = append(commands, send(t, client, strconv.Itoa(i)))
	}
	c := limited(t, conn, commandStream, "w-Work-n", "aegis.cmd.aegistest.v1.JobService.Work.n.*.*")
	taken, err := c.Fetch(5) // by a worker that was lost
	require.NoError(t, err)
	var lost []jetstream.Msg
	for msg := range taken.Messages() {
		lost = append(lost, msg)
	}
	require.Len(t, lost, 5)
	var log logs
	srv := aegistest.Serve(t, conn, registerJobs(jobs{}), log.option())
	saysThatAllWaits(t, srv, &log, "the commands of aegistest.v1.JobService.Work cannot work: the consumer w-Work-n of the stream "+commandStream)
	for _, msg := range lost {
		require.NoError(t, msg.Nak())
	}
	for i, cmd := range commands {
		require.Equal(t, strconv.Itoa(i), mustResult(t, cmd))
	}
	eventually(t, "it is ready again", func() bool { return srv.Ready(t.Context()) == nil })
	require.Equal(t, 1, log.count("cannot work"))
}

// A group whose handlers all are busy has nothing to complain of.
func TestGroupWhoseEventsAreAllBeingHandledIsReady(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	pub := newPublisher(t, conn)
	for i := range 8 {
		mustStore(t, pub, strconv.Itoa(i))
	}
	c := limited(t, conn, eventStream, storedConsumer, "aegis.log.aegistest.v1.EventService.Stored.*")
	hold := make(chan struct{})
	defer close(hold)
	var running atomic.Int64
	srv := subscribe(t, conn, handlers{Stored: func(context.Context, *testv1.StoredRequest) error {
		running.Add(1)
		<-hold
		return nil
	}}, nil, aegis.WithMaxConcurrency(8))
	eventually(t, "five are handled", func() bool { return running.Load() == 5 })
	// It is looked at once after five seconds.
	spy := spyOn(t, conn)
	eventually(t, "it is asked what is under way", func() bool {
		return len(spy.subjects(func(s string) bool { return strings.HasPrefix(s, "$JS.API.CONSUMER.INFO.") })) >= 3 // floors, too
	})
	info, err := c.Info(t.Context())
	require.NoError(t, err)
	require.Equal(t, 5, info.NumAckPending)
	require.NoError(t, srv.Ready(t.Context()))
}

// hangingAfter is a way to a NATS server on which nothing comes from there any
// more once a text has come, until it is over.
func hangingAfter(t testing.TB, target, text string, hangs chan<- struct{}, over <-chan struct{}) (url string) {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var pumps sync.WaitGroup
	var hanging atomic.Bool
	serve := func(client net.Conn) {
		defer client.Close()
		server, err := new(net.Dialer).DialContext(context.WithoutCancel(t.Context()), "tcp", target)
		if err != nil {
			return
		}
		defer server.Close()
		pumps.Go(func() { _, _ = io.Copy(server, client); _ = server.Close() })
		for buf := make([]byte, 64<<10); ; {
			n, err := server.Read(buf)
			if hanging.Load() {
				<-over
			}
			if _, werr := client.Write(buf[:n]); err != nil || werr != nil {
				return
			}
			if bytes.Contains(buf[:n], []byte(text)) && hanging.CompareAndSwap(false, true) {
				close(hangs)
			}
		}
	}
	pumps.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			pumps.Go(func() { serve(client) })
		}
	})
	t.Cleanup(func() {
		require.NoError(t, listener.Close())
		pumps.Wait()
	})
	return "nats://" + listener.Addr().String()
}

// The instance hears that somebody has joined, and then nothing any more, not
// even that NATS has got what it says, while it leaves half of its partitions.
func TestManyPartitionsAreLeftWithinTheGracePeriodWhileNATSHangs(t *testing.T) {
	t.Parallel()
	many := nextVersion(t, testv1.File_aegistest_v1_events_proto, "EventService", func(s *descriptorpb.ServiceDescriptorProto) {
		findMethod(t, s, "Keyed").Options = methodOptions(&aegisv1.MethodOptions{Pattern: &aegisv1.MethodOptions_Event{Event: &aegisv1.Event{
			Durable: true, KeyField: "key", Partitions: proto.Uint32(64),
		}}})
	})
	server := startConfigured(t, fmt.Sprintf("jetstream {store_dir: %q}", t.TempDir()))
	conn := connectTo(t, server.ClientURL())
	hangs, over := make(chan struct{}), make(chan struct{})
	slow := connectTo(t, hangingAfter(t, server.Addr().String(), "hang", hangs, over))
	defer close(over)
	srv, err := aegis.NewServer(slow, aegis.WithGracePeriod(2*time.Second))
	require.NoError(t, err)
	require.NoError(t, aegis.SubscribeEvents(srv, many, []aegis.EventHandler{
		aegis.NewEventHandler("Keyed", func(context.Context, *testv1.KeyedRequest) error { return nil }),
	}, aegis.Compete("g")))
	spy := standInFor(t, conn, "$JS.API.CONSUMER.MSG.NEXT.>", unanswered)
	r := runServer(t, srv)
	eventually(t, "it has all partitions", func() bool {
		seen := make(map[string]bool)
		for _, s := range spy.subjects(func(string) bool { return true }) {
			seen[s] = true
		}
		return len(seen) == 64
	})
	nc := plain(t, conn)
	hello, err := json.Marshal(map[string]any{"member": "another", "hello": true})
	require.NoError(t, err)
	all := server.NumSubscriptions()
	const group = "aegis.grp.aegistest.v1.EventService.Keyed.g"
	require.NoError(t, nc.Publish(group, hello))
	require.NoError(t, nc.Publish(group, []byte("hang")))
	receive(t, "NATS hangs", hangs)
	eventually(t, "partitions are being left", func() bool { return server.NumSubscriptions() < all })
	r.stop()
	_ = receive(t, "the server stops", r.done) // whether it could say so or not
}
