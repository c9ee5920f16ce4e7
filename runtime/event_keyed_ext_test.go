package aegis_test

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/wire"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// order checks that the events of each key come in their order, one at a time.
type order struct {
	mu      sync.Mutex
	last    map[string]int64
	running map[string]bool
	where   map[string]map[string]bool // key: instances
	handled atomic.Int64
	wrong   []string
}

func newOrder() *order {
	return &order{last: map[string]int64{}, running: map[string]bool{}, where: map[string]map[string]bool{}}
}

// begin notes an event that is about to be handled; the returned function notes
// that it was.
func (o *order) begin(ctx context.Context, ev *testv1.KeyedRequest) (end func(done bool)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	key := ev.GetKey()
	if o.running[key] {
		o.wrong = append(o.wrong, key+" is handled twice at once")
	}
	if n := ev.GetNumber(); n != o.last[key]+1 {
		o.wrong = append(o.wrong, fmt.Sprintf("%s: %d follows %d", key, n, o.last[key]))
	}
	o.running[key] = true
	if o.where[key] == nil {
		o.where[key] = map[string]bool{}
	}
	o.where[key][instanceOf(ctx)] = true
	return func(done bool) {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.running[key] = false
		if done {
			o.last[key] = ev.GetNumber()
			o.handled.Add(1)
		}
	}
}

func (o *order) check(t testing.TB) {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	require.Empty(t, o.wrong)
}

func (o *order) instancesOf(key string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.where[key])
}

// publishKeyed publishes n events of each of so many keys.
func publishKeyed(t testing.TB, conn *aegis.Conn, keys, from, to int) {
	t.Helper()
	pub := newPublisher(t, conn)
	var futures []*aegis.PubFuture
	for i := from; i <= to; i++ {
		for k := range keys {
			f, err := pub.KeyedAsync(t.Context(), &testv1.KeyedRequest{Key: fmt.Sprintf("key-%d", k), Number: int64(i)})
			require.NoError(t, err)
			futures = append(futures, f)
		}
	}
	for _, f := range futures {
		_, err := f.Ack(t.Context())
		require.NoError(t, err)
	}
}

func TestEventsOfAKeyAreOrderedAlsoWhenHandlersFail(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	o := newOrder()
	failed := sync.Map{}
	subscribe(t, conn, handlers{Keyed: func(ctx context.Context, ev *testv1.KeyedRequest) error {
		end := o.begin(ctx, ev)
		if _, again := failed.LoadOrStore(fmt.Sprint(ev), true); !again && ev.GetNumber()%5 == 0 {
			end(false)
			return errWrong
		}
		end(true)
		return nil
	}}, nil, aegis.Compete("g"))
	publishKeyed(t, conn, 8, 1, 20)
	eventually(t, "all are handled", func() bool { return o.handled.Load() == 8*20 })
	o.check(t)
}

func TestOtherKeysAreHandledMeanwhile(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	var slow, quick string
	for i := 0; quick == ""; i++ {
		switch key := strconv.Itoa(i); {
		case slow == "":
			slow = key
		case wire.Partition(wire.KeyHash(key), 4) != wire.Partition(wire.KeyHash(slow), 4):
			quick = key
		}
	}
	release := make(chan struct{})
	handled := make(chan string, 10)
	subscribe(t, conn, handlers{Keyed: func(_ context.Context, ev *testv1.KeyedRequest) error {
		if ev.GetKey() == slow {
			<-release
		}
		handled <- ev.GetKey()
		return nil
	}}, nil, aegis.EachInstance())
	pub := newPublisher(t, conn)
	for _, key := range []string{slow, quick} {
		_, err := pub.Keyed(t.Context(), &testv1.KeyedRequest{Key: key})
		require.NoError(t, err)
	}
	require.Equal(t, quick, receive(t, "the quick one", handled))
	close(release)
	require.Equal(t, slow, receive(t, "the slow one", handled))
}

func TestPartitionsMoveAsInstancesComeAndGo(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	o := newOrder()
	var stuck atomic.Int64
	h := handlers{Keyed: func(ctx context.Context, ev *testv1.KeyedRequest) error {
		end := o.begin(ctx, ev)
		if ev.GetNumber() == 15 {
			stuck.Add(1)
			<-time.After(20 * time.Millisecond) // so that moves meet handlers
		}
		end(true)
		return nil
	}}
	first := subscriber(t, another(t, conn), h, named("first"), aegis.Compete("g"))
	publishKeyed(t, conn, 12, 1, 10)
	eventually(t, "all are handled", func() bool { return o.handled.Load() == 12*10 })
	second := subscriber(t, another(t, conn), h, named("second"), aegis.Compete("g"))
	n := 10
	both := func() bool {
		n++
		publishKeyed(t, conn, 12, n, n)
		moved := 0
		for k := range 12 {
			if o.instancesOf(fmt.Sprintf("key-%d", k)) == 2 {
				moved++
			}
		}
		return moved > 0
	}
	eventually(t, "some keys have moved", both)
	first.end(t)
	publishKeyed(t, conn, 12, n+1, n+20)
	eventually(t, "the other one has all", func() bool { return o.handled.Load() == int64(12*(n+20)) })
	second.end(t)
	o.check(t)
}

func TestKeyedEventsThatAreDeadDoNotHoldUpTheirKey(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	var d diary
	subscribe(t, conn, handlers{Keyed: func(_ context.Context, ev *testv1.KeyedRequest) error {
		d.notef("%d", ev.GetNumber())
		if ev.GetNumber() == 1 {
			return errWrong
		}
		return nil
	}}, nil, aegis.EachInstance())
	publishKeyed(t, conn, 1, 1, 3)
	d.becomes(t, "1", "1", "1", "2", "3")
	require.Len(t, deadLetters(t, conn, "aegistest.v1.EventService"), 1)
}

// The stream decides: a program with another number in its proto works with that of the stream.
func TestNumberOfPartitionsInTheProtoIsNotThatOfAStreamThatExists(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	js := jetStream(t, conn)
	service := "aegistest.v1.EventService"
	_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{
		Name: eventStream, Subjects: []string{"aegis.log." + service + ".>"}, Discard: jetstream.DiscardNew,
		Metadata: map[string]string{"aegis.partitions.Keyed": "8"},
	})
	require.NoError(t, err)
	var log logs
	var d keyedDiary
	subscribe(t, another(t, conn, log.option()), handlers{Keyed: d.handle}, nil, aegis.Compete("g"))
	publishKeyed(t, conn, 8, 1, 3)
	d.has(t, 8, 1, 3)
	require.Contains(t, log.String(), "has 8 partitions in the stream "+eventStream+", and not 4 as in the proto of this program")
	stream, err := js.Stream(t.Context(), eventStream)
	require.NoError(t, err)
	require.Equal(t, 8, stream.CachedInfo().State.Consumers)

	cfg := stream.CachedInfo().Config
	cfg.Metadata["aegis.partitions.Keyed"] = "many"
	_, err = js.UpdateStream(t.Context(), cfg)
	require.NoError(t, err)
	_, err = newPublisher(t, another(t, conn)).Stored(t.Context(), stored(""))
	require.ErrorContains(t, err, `aegis.partitions.Keyed, "many"`)
	require.Equal(t, aegis.CodeFailedPrecondition, aegis.CodeOf(err))
}
