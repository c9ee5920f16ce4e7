package aegis_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/wire"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisadmin"
)

// repartition changes the number of partitions of the event Keyed, and returns all that it has had.
func repartition(t testing.TB, conn *aegis.Conn, n int) []int {
	t.Helper()
	numbers, err := aegisadmin.New(conn).SetPartitions(t.Context(), eventService, "Keyed", n)
	require.NoError(t, err)
	return numbers
}

// keyedDiary has the numbers of the events of each key in the order in which they were handled.
type keyedDiary struct {
	mu    sync.Mutex
	of    map[string][]int64
	total int
}

func (d *keyedDiary) handle(_ context.Context, ev *testv1.KeyedRequest) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.of == nil {
		d.of = make(map[string][]int64)
	}
	d.of[ev.GetKey()] = append(d.of[ev.GetKey()], ev.GetNumber())
	d.total++
	return nil
}

func (d *keyedDiary) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.total
}

// has waits until the events from one number to another of so many keys were handled in their order.
func (d *keyedDiary) has(t testing.TB, keys, from, to int) {
	t.Helper()
	eventually(t, "all are handled", func() bool { return d.count() >= keys*(to-from+1) })
	d.mu.Lock()
	defer d.mu.Unlock()
	for k := range keys {
		var want []int64
		for n := from; n <= to; n++ {
			want = append(want, int64(n))
		}
		require.Equal(t, want, d.of[fmt.Sprintf("key-%d", k)], "key-%d", k)
	}
}

func TestPartitionsAreChangedUnderAGroupThatIsThereOneThatIsAwayAndNewOnes(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	var there, away, fresh, each, all, late keyedDiary
	subscribe(t, conn, handlers{Keyed: there.handle}, nil, aegis.Compete("there"))
	subscribe(t, conn, handlers{Keyed: each.handle}, nil, aegis.EachInstance())
	leaving := subscriber(t, another(t, conn), handlers{Keyed: away.handle}, nil, aegis.Compete("away"))
	old := another(t, conn)
	publishKeyed(t, old, 8, 1, 5)
	away.has(t, 8, 1, 5)
	leaving.end(t)
	subscribe(t, conn, handlers{Keyed: fresh.handle}, nil, aegis.Compete("fresh")) // with new events only
	require.Equal(t, []int{4, 3}, repartition(t, conn, 3))
	publishKeyed(t, conn, 8, 6, 10)
	there.has(t, 8, 1, 10)
	require.Equal(t, []int{4, 3, 16}, repartition(t, conn, 16))
	require.Equal(t, []int{4, 3, 16}, repartition(t, conn, 16), "a second time")
	publishKeyed(t, old, 8, 11, 15) // with a publisher of the first numbers
	subscribe(t, conn, handlers{Keyed: away.handle}, nil, aegis.Compete("away"))
	subscribe(t, conn, handlers{Keyed: all.handle}, nil, aegis.Compete("all"), aegis.StartFrom(aegis.StartAll()))
	subscribe(t, conn, handlers{Keyed: late.handle}, nil, aegis.Compete("late"))
	publishKeyed(t, conn, 8, 16, 16)
	there.has(t, 8, 1, 16)
	each.has(t, 8, 1, 16)
	fresh.has(t, 8, 6, 16)
	away.has(t, 8, 1, 16)
	all.has(t, 8, 1, 16)
	late.has(t, 8, 16, 16)
}

// Nobody can bring a former number back, by mistake or with a configuration that was read before
// the change.
func TestNothingBringsFormerPartitionsBack(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	js := jetStream(t, conn)
	publishKeyed(t, conn, 8, 1, 2)
	before, err := js.Stream(t.Context(), eventStream)
	require.NoError(t, err)
	repartition(t, conn, 3)
	between, err := js.Stream(t.Context(), eventStream)
	require.NoError(t, err)
	_, err = js.UpdateStream(t.Context(), before.CachedInfo().Config)
	require.ErrorContains(t, err, "subjects overlap")
	repartition(t, conn, 5)
	_, err = js.UpdateStream(t.Context(), between.CachedInfo().Config)
	require.ErrorContains(t, err, "subjects overlap")
	_, err = conn.NATS().Request("aegis.log."+eventService+".Keyed.1", nil, 30*time.Second)
	require.NoError(t, err)

	// A process that notes a change on what it read long ago brings back no more than a change
	// that is under way, and whoever finds that goes on with it.
	cfg := between.CachedInfo().Config
	cfg.Subjects = []string{"aegis.log." + eventService + ".Stored.*"}
	cfg.Metadata["aegis.epochs.Keyed"] = "4 9?"
	_, err = js.UpdateStream(t.Context(), cfg)
	require.NoError(t, err)
	var d keyedDiary
	publishKeyed(t, conn, 8, 3, 3)
	subscribe(t, conn, handlers{Keyed: d.handle}, nil, aegis.Compete("g"), aegis.StartFrom(aegis.StartAll()))
	d.has(t, 8, 1, 3)
	numbers, err := aegisadmin.New(conn).Partitions(t.Context(), eventService)
	require.NoError(t, err)
	require.Equal(t, map[string][]int{"Keyed": {4, 3, 5}}, numbers)

	// Even with the stream the former subjects do not come back.
	require.NoError(t, js.DeleteStream(t.Context(), eventStream))
	publishKeyed(t, another(t, conn), 8, 4, 4)
	numbers, err = aegisadmin.New(conn).Partitions(t.Context(), eventService)
	require.NoError(t, err)
	require.Equal(t, map[string][]int{"Keyed": {4, 3, 5}}, numbers)
}

func TestDeadEventOfFormerPartitionsIsPutBackIntoThoseOfNow(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	var d keyedDiary
	var mended atomic.Bool
	subscribe(t, conn, handlers{Keyed: func(ctx context.Context, ev *testv1.KeyedRequest) error {
		if !mended.Load() && ev.GetNumber() == 1 {
			return aegis.Permanent(errWrong)
		}
		return d.handle(ctx, ev)
	}}, nil, aegis.Compete("g"))
	publishKeyed(t, conn, 1, 1, 2)
	letter := deadOf(t, conn, eventService)
	require.Empty(t, letter.Header, "nothing of the machinery")
	repartition(t, conn, 7)
	mended.Store(true)
	require.NoError(t, conn.PutBack(t.Context(), letter))
	eventually(t, "both are handled", func() bool { return d.count() == 2 })
	msg, err := conn.JetStream().Stream(t.Context(), eventStream)
	require.NoError(t, err)
	last, err := msg.GetMsg(t.Context(), msg.CachedInfo().State.LastSeq)
	require.NoError(t, err)
	require.Equal(t, fmt.Sprintf("aegis.log.%s.Keyed.1.%d", eventService, wire.Partition(wire.KeyHash("key-0"), 7)), last.Subject)
}

func TestPartitionsThatCannotBe(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	admin := aegisadmin.New(conn)
	mustStore(t, newPublisher(t, conn), "")
	for _, c := range []struct {
		event string
		n     int
		code  aegis.Code
		text  string
	}{
		{"Keyed", 0, aegis.CodeInvalidArgument, "0 partitions: use 1 to 1024"},
		{"Keyed", 1025, aegis.CodeInvalidArgument, "1025 partitions"},
		{"Stored", 2, aegis.CodeFailedPrecondition, "no event with a key"},
	} {
		_, err := admin.SetPartitions(t.Context(), eventService, c.event, c.n)
		require.Equal(t, c.code, aegis.CodeOf(err), "%v", err)
		require.ErrorContains(t, err, c.text)
	}
	_, err := admin.SetPartitions(t.Context(), "no.Such", "Keyed", 2)
	require.Equal(t, aegis.CodeNotFound, aegis.CodeOf(err), "%v", err)
}
