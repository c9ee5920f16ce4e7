package activity_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/monitorapi"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/activity"
)

var start = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func at(second int) time.Time { return start.Add(time.Duration(second) * time.Second) }

func TestTheLatestEventComesFirst(t *testing.T) {
	t.Parallel()
	var l activity.Log
	require.Empty(t, l.Events())
	for i := range 3 {
		l.Add(at(i), monitorapi.Event{Text: strconv.Itoa(i)})
	}
	events := l.Events()
	require.Len(t, events, 3)
	require.Equal(t, "2", events[0].Text)
	require.Equal(t, at(2), events[0].At)
	require.EqualValues(t, 3, events[0].ID)
	require.EqualValues(t, 1, events[2].ID)
}

func TestEventsAreKeptForAnHour(t *testing.T) {
	t.Parallel()
	var l activity.Log
	for i := range 7200 {
		l.Add(at(2*i), monitorapi.Event{})
		l.Forget(at(2 * i))
		if i > 1800 && i%100 == 0 {
			require.Len(t, l.Events(), 1801)
		}
	}
	require.Zero(t, l.Dropped(at(14400)))
	l.Forget(at(100_000))
	require.Empty(t, l.Events())
	l.Add(at(100_000), monitorapi.Event{})
	require.EqualValues(t, 7201, l.Events()[0].ID, "numbers go on")
}

func TestWhatThereIsNoRoomForIsCounted(t *testing.T) {
	t.Parallel()
	var l activity.Log
	for i := range activity.Room + 100 {
		l.Add(at(i/100), monitorapi.Event{})
	}
	events := l.Events()
	require.Len(t, events, activity.Room)
	for i, e := range events {
		require.EqualValues(t, activity.Room+100-i, e.ID)
	}
	require.EqualValues(t, 100, l.Dropped(at(60)))
	require.Zero(t, l.Dropped(at(7200)), "of another hour")
}

// Whatever comes and goes, no event is lost that is neither old nor dropped.
func TestTheRingKeepsItsOrder(t *testing.T) {
	t.Parallel()
	var l activity.Log
	second := 0
	for round := range 50 {
		for range 300 {
			l.Add(at(second), monitorapi.Event{})
			second += round % 7
		}
		l.Forget(at(second))
		events := l.Events()
		for i := 1; i < len(events); i++ {
			require.Equal(t, events[i-1].ID-1, events[i].ID)
		}
		require.LessOrEqual(t, len(events), activity.Room)
	}
}
