package board_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/monitorapi"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/board"
)

func TestAnEmptyBoardHasNoNullLists(t *testing.T) {
	t.Parallel()
	b := board.New(board.Config{Namespace: "test"}, start)
	encoded(t, b, start)
	require.Equal(t, "Not connected to NATS", b.Header(start).Verdict.Text)
	require.Len(t, b.Header(start).Sources, 5)
	require.False(t, b.Service(start, orders).Found)
	require.False(t, b.Ready())
}

func TestAConnectionWithoutAnythingReadIsStillLooking(t *testing.T) {
	t.Parallel()
	b := board.New(board.Config{}, start)
	b.Connected(at(1), board.Server{Name: "n1"})
	h := b.Header(at(2))
	require.Equal(t, monitorapi.Verdict{Level: monitorapi.LevelUnknown, Text: "Still looking"}, h.Verdict)
	require.Equal(t, at(1), h.NATS.Since)
	require.Equal(t, "n1", h.NATS.Server)
	require.False(t, b.Ready())
	b.Source(at(3), monitorapi.SourceInstances, monitorapi.SourceReady, "")
	require.False(t, b.Ready())
	b.Source(at(3), monitorapi.SourceFigures, monitorapi.SourceDenied, "allow $SRV.STATS")
	require.True(t, b.Ready())
	b.Disconnected(at(4))
	require.False(t, b.Ready())
}

func TestTheVerdictSaysWhichHalfIsNotSeen(t *testing.T) {
	t.Parallel()
	b := connected(t)
	b.Instances(at(1), []aegis.Instance{running(orders, "order-1", good())})
	b.Tick(at(1))
	require.Equal(t, monitorapi.Verdict{Level: monitorapi.LevelOK, Text: "All is well"}, b.Header(at(1)).Verdict)
	b.Source(at(2), monitorapi.SourceWork, monitorapi.SourceDenied, "allow it")
	b.Source(at(2), monitorapi.SourceDeadLetters, monitorapi.SourceFailed, "no answer")
	require.Equal(t, monitorapi.Verdict{
		Level: monitorapi.LevelUnknown, Text: "All that can be seen is well; durable work and dead letters cannot be seen",
	}, b.Header(at(2)).Verdict)
	sources := b.Header(at(2)).Sources
	require.Equal(t, start, *sources[3].At, "when it was read last")
	require.Equal(t, "allow it", sources[3].Problem)
	for _, name := range []monitorapi.SourceName{monitorapi.SourceLeaders, monitorapi.SourceWork, monitorapi.SourceDeadLetters} {
		b.Source(at(3), name, monitorapi.SourceAbsent, "")
	}
	require.Equal(t, monitorapi.Verdict{
		Level: monitorapi.LevelOK, Text: "All that can be seen is well; there is no JetStream",
	}, b.Header(at(3)).Verdict)
}

func TestALostConnectionIsUrgentAndToldOnce(t *testing.T) {
	t.Parallel()
	urgent := 0
	var b *board.Board
	b = board.New(board.Config{Urgent: func() {
		urgent++
		b.Header(start) // the lock is not held
	}}, start)
	b.Disconnected(at(0))
	require.Zero(t, urgent)
	b.Connected(at(1), board.Server{Name: "n1"})
	b.Connected(at(2), board.Server{Name: "n1"})
	b.Disconnected(at(3))
	b.Disconnected(at(4))
	b.Connected(at(63), board.Server{Name: "n2"})
	require.Equal(t, 3, urgent)
	events := b.Activity(at(64)).Events
	require.Len(t, events, 3)
	require.Equal(t, "Connected to NATS again, after 60 s", events[0].Text)
	require.Equal(t, at(3), events[1].At)
}

func TestTheRevisionGrowsWithEachChange(t *testing.T) {
	t.Parallel()
	b := connected(t)
	last := b.Header(at(0)).Revision
	grows := func(what string) {
		t.Helper()
		now := b.Header(at(0)).Revision
		require.Greater(t, now, last, what)
		last = now
	}
	b.Instances(at(1), []aegis.Instance{running(orders, "order-1", good())})
	grows("instances")
	b.Stats(at(1), stats("order-1", "Place", 1, 0))
	grows("stats")
	b.Led(at(2), orders, "default", leader("order-1", 1))
	grows("a leader")
	b.Acted(at(3), monitorapi.Event{Kind: monitorapi.EventAction, Text: "put back 3 dead letters"})
	grows("an action")
	b.Led(at(3), orders, "default", leader("order-1", 1))
	require.Equal(t, last, b.Header(at(0)).Revision, "nothing new")
	event := b.Activity(at(3)).Events[0]
	require.Equal(t, at(3), event.At)
	require.Equal(t, monitorapi.EventAction, event.Kind)
}

func TestDocumentsShareNoMemoryWithTheBoard(t *testing.T) {
	t.Parallel()
	b, now := busy(t)
	before := encoded(t, b, now)
	spoil(b.Overview(now), b.Service(now, orders), b.Leaders(now), b.Work(now), b.Activity(now))
	require.Equal(t, before, encoded(t, b, now))
}

func TestTheSameStateMakesTheSameDocuments(t *testing.T) {
	t.Parallel()
	one, now := busy(t)
	other, _ := busy(t)
	for range 5 {
		require.Equal(t, encoded(t, one, now), encoded(t, other, now))
	}
}

func TestWhatIsOlderThanAnHourIsForgotten(t *testing.T) {
	t.Parallel()
	b := connected(t)
	i := running(orders, "order-1", good())
	b.Instances(at(1), []aegis.Instance{i})
	b.InstanceChanged(at(10), change(aegis.InstanceLeft, i))
	b.Instances(at(11), nil)
	b.Tick(at(11))
	require.True(t, b.Service(at(11), orders).Found)
	require.Len(t, b.Overview(at(11)).Services, 1)
	b.Tick(at(11).Add(61 * time.Minute))
	require.False(t, b.Service(at(4000), orders).Found)
	require.Empty(t, b.Overview(at(4000)).Services)
	b.Tick(at(11).Add(122 * time.Minute))
	require.Empty(t, b.Activity(at(8000)).Events)
}
