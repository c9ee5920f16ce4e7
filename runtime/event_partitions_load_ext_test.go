//go:build unix

package aegis_test

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/wire"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// keyedLoad publishes events of a few keys from several connections, never many more than are
// handled.
type keyedLoad struct {
	handled   *handledSet
	published atomic.Int64
	stop      chan struct{}
	group     sync.WaitGroup
}

const (
	loadKeys    = 6
	loadBacklog = 150
)

func (l *keyedLoad) stopped() bool {
	select {
	case <-l.stop:
		return true
	default:
		return false
	}
}

// publisher publishes until the load is stopped. The numbers of its events begin with base.
func (l *keyedLoad) publisher(t *testing.T, conn *aegis.Conn, base int64, publish func(ev *testv1.KeyedRequest) error) {
	t.Helper()
	l.group.Go(func() {
		for n := base; !l.stopped(); n++ {
			if int(l.published.Load())-l.handled.count() > loadBacklog {
				_ = conn.NATS().Flush() // a moment
				continue
			}
			if err := publish(&testv1.KeyedRequest{Key: "k" + strconv.Itoa(int(n)%loadKeys), Number: n}); err != nil {
				t.Errorf("event %d: %v", n, err)
				return
			}
			l.published.Add(1)
		}
	})
}

// storedOrder returns the events as the stream has them: all of an epoch, its end, and those of
// the next.
func storedOrder(t *testing.T, conn *aegis.Conn) []string {
	t.Helper()
	stream, err := jetStream(t, conn).Stream(t.Context(), eventStream)
	require.NoError(t, err)
	subjects := wire.NewSubjects("aegis")
	c, err := stream.OrderedConsumer(t.Context(), jetstream.OrderedConsumerConfig{FilterSubjects: []string{subjects.LogEver(eventService, "Keyed"), "aegis.gone.>"}})
	require.NoError(t, err)
	var all []string
	at := 0
	for left := c.CachedInfo().NumPending; left > 0; left-- {
		msg, err := c.Next()
		require.NoError(t, err)
		switch msg.Subject() {
		case subjects.LogEnd(eventService, "Keyed", at):
			at++
			continue
		case subjects.LogEnd(eventService, "Keyed", at-1): // of another process that went on with the change
			continue
		}
		epoch, _, ok := subjects.ParseLog(eventService, "Keyed", msg.Subject())
		require.True(t, ok && epoch == at, "%s is stored in epoch %d", msg.Subject(), at)
		var ev testv1.KeyedRequest
		require.NoError(t, proto.Unmarshal(msg.Data(), &ev))
		all = append(all, ev.GetKey()+" "+strconv.FormatInt(ev.GetNumber(), 10))
	}
	return all
}

func byKey(events []string) map[string][]string {
	of := make(map[string][]string)
	for _, what := range events {
		key, number, _ := strings.Cut(what, " ")
		of[key] = append(of[key], number)
	}
	return of
}

// Several publishers go on while the number of partitions is changed twice, and one of the two
// instances is killed in the midst of it. One publisher knows only the first number until the
// end.
func TestOrderOfEachKeyHoldsWhilePartitionsAreChangedUnderLoad(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	url := conn.NATS().ConnectedUrl()
	l := &keyedLoad{handled: watchHandled(t, conn), stop: make(chan struct{})}
	startProcess(t, "subscriber", url, "a")
	victim := startProcess(t, "subscriber", url, "b")
	ctx := context.WithoutCancel(t.Context())
	idle := newPublisher(t, another(t, conn))
	_, err := idle.Keyed(ctx, &testv1.KeyedRequest{Key: "k0", Number: 1})
	require.NoError(t, err)
	l.published.Add(1)
	for i := range int64(3) {
		own := another(t, conn)
		pub := newPublisher(t, own)
		l.publisher(t, own, (i+1)*1_000_000, func(ev *testv1.KeyedRequest) error {
			var opts []aegis.PublishOption
			if i > 0 {
				opts = append(opts, aegis.MessageID(strconv.FormatInt(ev.GetNumber(), 10)))
			}
			_, err := pub.Keyed(ctx, ev, opts...)
			return err
		})
	}
	own := another(t, conn)
	pub := newPublisher(t, own)
	futures := make(chan *aegis.PubFuture, 1<<20)
	l.publisher(t, own, 9_000_000, func(ev *testv1.KeyedRequest) error {
		f, err := pub.KeyedAsync(ctx, ev)
		if err == nil {
			futures <- f
		}
		return err
	})

	handledMore := func(n int) {
		t.Helper()
		at := l.handled.count() + n
		eventually(t, "more are handled", func() bool { return l.handled.count() >= at || t.Failed() })
	}
	handledMore(300)
	require.Equal(t, []int{4, 3}, repartition(t, conn, 3))
	victim.signal(t, syscall.SIGKILL)
	require.Error(t, receive(t, "it is dead", victim.ended))
	startProcess(t, "subscriber", url, "c")
	handledMore(300)
	require.Equal(t, []int{4, 3, 16}, repartition(t, conn, 16))
	_, err = idle.Keyed(ctx, &testv1.KeyedRequest{Key: "k0", Number: 2})
	require.NoError(t, err)
	l.published.Add(1)
	handledMore(300)
	close(l.stop)
	l.group.Wait()
	close(futures)
	for f := range futures {
		_, err := f.Ack(ctx)
		require.NoError(t, err)
	}
	events := storedOrder(t, conn)
	require.Len(t, events, int(l.published.Load()), "as many are stored as were published")
	eventually(t, "all are handled", func() bool { return l.handled.count() == len(events) })
	l.handled.mu.Lock()
	defer l.handled.mu.Unlock()
	require.Equal(t, byKey(events), byKey(l.handled.order))
	twice := 0
	for _, times := range l.handled.seen {
		twice += times - 1
	}
	t.Logf("%d events, none lost, %d handled again", len(events), twice)
}
