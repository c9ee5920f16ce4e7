package aegis_test

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
)

const attemptStream = "aegis-attempts-aegistest-v1-EventService"

// briefly is a server that is stopped while a handler runs for longer than its
// grace period.
func briefly(t *testing.T, conn *aegis.Conn, register func(*aegis.Server) error, started <-chan int) {
	t.Helper()
	srv, err := aegis.NewServer(conn, aegis.WithGracePeriod(100*time.Millisecond))
	require.NoError(t, err)
	require.NoError(t, register(srv))
	r := runServer(t, srv)
	receive(t, "it runs", started)
	r.stop()
	require.ErrorContains(t, receive(t, "it stops", r.done), "handlers still ran")
}

// untilStop is a handler that runs until its context ends, so many times.
type untilStop struct {
	times   int32
	began   atomic.Int32
	started chan int // attempts
	ended   chan bool
}

func newUntilStop(times int32) *untilStop {
	return &untilStop{times: times, started: make(chan int, 100), ended: make(chan bool, 100)}
}

func (u *untilStop) run(ctx context.Context, attempt int) error {
	u.started <- attempt
	if u.began.Add(1) > u.times {
		return nil
	}
	<-ctx.Done()
	u.ended <- true
	return ctx.Err()
}

// stops is more often than anything here may be attempted.
const stops = 4

func TestStopsCostACommandNoAttempt(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string][]aegis.SendOption{"without a key": nil, "with a key": {aegis.DedupeKey("k")}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := connect(t)
			u := newUntilStop(stops)
			j := registerJobs(jobs{work: func(ctx context.Context, req *testv1.WorkRequest) (*testv1.WorkResponse, error) {
				return &testv1.WorkResponse{Text: req.GetText()}, u.run(ctx, attemptOf(ctx))
			}})
			cmd := send(t, newJobClient(t, conn), "x", opts...)
			for range stops {
				briefly(t, conn, j, u.started)
			}
			srv, err := aegis.NewServer(conn)
			require.NoError(t, err)
			require.NoError(t, j(srv))
			runServer(t, srv)
			require.Equal(t, "x", mustResult(t, cmd))
			require.Equal(t, stops+1, receive(t, "the last attempt", u.started), "attempts have numbers of their own")
			require.Empty(t, deadLetters(t, conn, jobService))
		})
	}
}

func TestStopsOfALeaderCostACommandNoAttempt(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	u := newUntilStop(stops + 2)
	log := &arrangements{hook: func(ctx context.Context, _ int64) error { return u.run(ctx, attemptOf(ctx)) }}
	register := func(srv *aegis.Server) error {
		return aegistestv1aegis.RegisterLeaderJobServiceServer(srv, arranger{log: log})
	}
	client, err := aegistestv1aegis.NewLeaderJobServiceClient(conn)
	require.NoError(t, err)
	cmd, err := client.Arrange(t.Context(), &testv1.ArrangeRequest{Number: 1})
	require.NoError(t, err)
	for range stops + 2 {
		briefly(t, conn, register, u.started)
	}
	startArranger(t, conn, "last", log)
	_, err = cmd.Result(t.Context())
	require.NoError(t, err)
	require.Equal(t, stops+3, receive(t, "the last attempt", u.started))
	require.Empty(t, deadLetters(t, conn, "aegistest.v1.LeaderJobService"))
}

func TestLostTermsCostACommandNoAttempt(t *testing.T) {
	t.Parallel()
	restarted := restartJetStream(t)
	conn, other := connectTo(t, restarted.url), connectTo(t, restarted.url)
	const losses = 5 // Arrange may have 5 attempts
	u := newUntilStop(losses)
	startArranger(t, conn, "a", &arrangements{hook: func(ctx context.Context, _ int64) error { return u.run(ctx, attemptOf(ctx)) }})
	client, err := aegistestv1aegis.NewLeaderJobServiceClient(other)
	require.NoError(t, err)
	cmd, err := client.Arrange(t.Context(), &testv1.ArrangeRequest{Number: 1})
	require.NoError(t, err)
	for range losses {
		receive(t, "it runs", u.started)
		restarted.down(conn, other)
		receive(t, "the term is over", u.ended)
		restarted.up()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	_, err = cmd.Result(ctx)
	require.NoError(t, err)
	require.Empty(t, deadLetters(t, other, "aegistest.v1.LeaderJobService"))
}

func TestStopsCostAnEventNoAttempt(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"without a key", "with a key"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := connect(t)
			u := newUntilStop(stops)
			run := func(ctx context.Context) error {
				d, _ := aegis.DeliveryFromContext(ctx)
				return u.run(ctx, d.Attempt)
			}
			h := handlers{
				Stored: func(ctx context.Context, _ *testv1.StoredRequest) error { return run(ctx) },
				Keyed:  func(ctx context.Context, _ *testv1.KeyedRequest) error { return run(ctx) },
			}
			register := func(srv *aegis.Server) error {
				return subscribeTo(srv, h, aegis.Compete("g"), aegis.StartFrom(aegis.StartAll()))
			}
			pub := newPublisher(t, conn)
			if name == "with a key" {
				_, err := pub.Keyed(t.Context(), &testv1.KeyedRequest{Key: "k"})
				require.NoError(t, err)
			} else {
				mustStore(t, pub, "x")
			}
			for range stops {
				briefly(t, conn, register, u.started)
			}
			srv, err := aegis.NewServer(conn)
			require.NoError(t, err)
			require.NoError(t, register(srv))
			runServer(t, srv)
			require.Equal(t, stops+1, receive(t, "the last attempt", u.started), "attempts have numbers of their own")
			eventually(t, "nothing is recorded of what has ended", func() bool { return storedIn(t, conn, attemptStream) == 0 })
			require.Empty(t, deadLetters(t, conn, "aegistest.v1.EventService"))
		})
	}
}

// storedIn is how many messages a stream has.
func storedIn(t *testing.T, conn *aegis.Conn, name string) int {
	t.Helper()
	stream, err := jetStream(t, conn).Stream(t.Context(), name)
	require.NoError(t, err)
	return int(stream.CachedInfo().State.Msgs)
}

// takeAndLose takes what a consumer has, as a worker does that is lost then.
func takeAndLose(t *testing.T, conn *aegis.Conn, stream, consumer string, n int) {
	t.Helper()
	c, err := jetStream(t, conn).Consumer(t.Context(), stream, consumer)
	require.NoError(t, err)
	taken := 0
	eventually(t, "all are taken", func() bool {
		batch, err := c.Fetch(n-taken, jetstream.FetchMaxWait(time.Second))
		require.NoError(t, err)
		for range batch.Messages() {
			taken++
		}
		return taken == n
	})
}

func TestCommandsThatWereOnlyTakenLoseNoAttempt(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	stoppableWorker(t, conn, jobs{}).end(t) // makes the consumers
	client := newJobClient(t, conn)
	cmd := send(t, client, "x")
	once, err := client.Once(t.Context(), &testv1.OnceRequest{})
	require.NoError(t, err)
	for range stops {
		takeAndLose(t, conn, commandStream, "w-Work-n", 1)
		takeAndLose(t, conn, commandStream, "w-Once-n", 1)
	}
	worker(t, conn, jobs{})
	require.Equal(t, "x", mustResult(t, cmd))
	_, err = once.Result(t.Context())
	require.NoError(t, err)
	require.Empty(t, deadLetters(t, conn, jobService))
	eventually(t, "nothing but the results is kept", func() bool { return storedIn(t, conn, resultStream) == 2 })
}

func TestEventsThatWereOnlyTakenLoseNoAttempt(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	var d diary
	h := handlers{Stored: d.stored}
	subscriber(t, conn, h, nil).end(t)
	pub := newPublisher(t, conn)
	for i := range 20 {
		mustStore(t, pub, strconv.Itoa(i))
	}
	for range stops {
		takeAndLose(t, conn, eventStream, "g-store-Stored", 20)
	}
	subscribe(t, conn, h, nil)
	settled(t, conn, "g-store-Stored")
	require.Len(t, d.all(), 20)
	require.Empty(t, deadLetters(t, conn, "aegistest.v1.EventService"))
}

// What is only held when a server stops, or is on its way to it, costs nothing
// either.
func TestEventsThatAStoppingServerHoldsLoseNoAttempt(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	pub := newPublisher(t, conn)
	const quick, all = 200, 400
	for i := range all {
		mustStore(t, pub, strconv.Itoa(i))
	}
	var began atomic.Int32
	u := newUntilStop(stops)
	h := handlers{Stored: func(ctx context.Context, _ *testv1.StoredRequest) error {
		if began.Add(1) <= quick {
			return nil // many are held ahead then
		}
		d, _ := aegis.DeliveryFromContext(ctx)
		return u.run(ctx, d.Attempt)
	}}
	register := func(srv *aegis.Server) error { return subscribeTo(srv, h, aegis.StartFrom(aegis.StartAll())) }
	for range stops {
		briefly(t, conn, register, u.started)
	}
	var mu sync.Mutex
	attempts := map[int]int{}
	subscribe(t, conn, handlers{Stored: func(ctx context.Context, _ *testv1.StoredRequest) error {
		d, _ := aegis.DeliveryFromContext(ctx)
		mu.Lock()
		defer mu.Unlock()
		attempts[d.Attempt]++
		return nil
	}}, nil)
	settled(t, conn, "g-store-Stored")
	mu.Lock()
	defer mu.Unlock()
	require.Empty(t, deadLetters(t, conn, "aegistest.v1.EventService"))
	total := 0
	for attempt, n := range attempts {
		total += n
		require.LessOrEqual(t, attempt, stops+1)
	}
	require.Equal(t, all-quick, total)
}

// Where attempts cannot be recorded, deliveries are counted, and that is said once.
func TestDeliveriesCountWhereAttemptsCannotBeRecorded(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	js := jetStream(t, conn)
	_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "OTHER", Subjects: []string{"aegis.try.>"}})
	require.NoError(t, err)
	var log logs
	var d diary
	subscribe(t, connectTo(t, conn.NATS().ConnectedUrl(), log.option()), handlers{Stored: func(ctx context.Context, ev *testv1.StoredRequest) error {
		delivery, _ := aegis.DeliveryFromContext(ctx)
		d.notef("%s %d", ev.GetText(), delivery.Attempt)
		return errWrong
	}}, nil)
	pub := newPublisher(t, conn)
	mustStore(t, pub, "x")
	d.becomes(t, "x 1", "x 2", "x 3")
	mustStore(t, pub, "y")
	d.becomes(t, "x 1", "x 2", "x 3", "y 1", "y 2", "y 3")
	eventually(t, "they are dead", func() bool { return len(deadLetters(t, conn, "aegistest.v1.EventService")) == 2 })
	require.Equal(t, 1, log.count("attempts cannot be recorded"), log.String())
}

// Where there is no room for records, what may not begin without one waits for room.
func TestSuspectEventWaitsForTheRoomThatItsRecordNeeds(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	full := madeBefore(attemptStream, "aegis.try.aegistest.v1.EventService.>")
	full.MaxMsgsPerSubject, full.MaxBytes = 1, 64
	_, err := jetStream(t, conn).CreateStream(t.Context(), full)
	require.NoError(t, err)
	var d diary
	h := handlers{Stored: d.stored}
	subscriber(t, conn, h, nil).end(t)
	mustStore(t, newPublisher(t, conn), "suspect")
	takeAndLose(t, conn, eventStream, storedConsumer, 1)
	var log logs
	subscribe(t, connectTo(t, conn.NATS().ConnectedUrl(), log.option()), h, nil)
	eventually(t, "it says why", func() bool { return log.count("it cannot be stored that an attempt begins") > 0 })
	require.Empty(t, d.all())
	full.MaxBytes = -1
	_, err = jetStream(t, conn).UpdateStream(t.Context(), full)
	require.NoError(t, err)
	d.becomes(t, "suspect")
}

// A failure counts although the worker that knows of it is gone.
func TestFailuresOfSeveralWorkersCount(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	failed := make(chan int, 10)
	j := jobs{work: func(ctx context.Context, _ *testv1.WorkRequest) (*testv1.WorkResponse, error) {
		failed <- attemptOf(ctx)
		return nil, errors.New("no")
	}}
	worker(t, conn, j)
	worker(t, conn, j)
	_, err := outcome(t.Context(), send(t, newJobClient(t, conn), "x"))
	require.ErrorContains(t, err, "no")
	for i := range 3 {
		require.Equal(t, i+1, receive(t, "an attempt", failed))
	}
	dead := deadLetters(t, conn, jobService)
	require.Len(t, dead, 1)
	require.Equal(t, 3, dead[0].Attempts)
}
