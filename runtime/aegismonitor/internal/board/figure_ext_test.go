package board_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/monitorapi"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/board"
	"github.com/aegisrpc/aegis/runtime/health"
)

// counting returns a board of two instances that have had 30 and 70 requests per second for
// some seconds, the half of the latter's with an error.
func counting(t testing.TB, seconds int) *board.Board {
	t.Helper()
	b := connected(t)
	list := []aegis.Instance{running(orders, "order-1", good()), running(orders, "order-2", good())}
	for s := range seconds + 1 {
		b.Instances(at(float64(s)), list)
		b.Stats(at(float64(s)), stats("order-1", "Place", uint64(30*s), 0))
		b.Stats(at(float64(s)), stats("order-2", "Place", uint64(70*s), uint64(35*s)))
		b.Tick(at(float64(s)))
	}
	return b
}

func TestFiguresAreThoseOfAllInstancesTogether(t *testing.T) {
	t.Parallel()
	b := counting(t, 20)
	d := b.Service(at(20), orders)
	for name, f := range map[string]monitorapi.Figures{
		"service": d.Service.Figures, "method": d.Methods[0].Figures, "totals": b.Overview(at(20)).Totals.Figures,
	} {
		require.InDelta(t, 100, *f.PerSecond, 1e-6, name)
		require.InDelta(t, 35, *f.ErrorPercent, 1e-6, name)
		require.EqualValues(t, 2, *f.InFlight, name)
		require.InDelta(t, float64(health.Step(40).Bound())/1e6, *f.P99Ms, 1, name)
	}
	require.Equal(t, 2, d.Methods[0].Instances)
	require.Equal(t, map[string]uint64{"NOT_FOUND": 700}, d.Methods[0].Codes)
	require.InDelta(t, 70, *d.Instances[1].PerSecond, 1e-6)
}

func TestOneMissedReadingChangesNoRate(t *testing.T) {
	t.Parallel()
	b := counting(t, 20)
	b.Stats(at(21), stats("order-1", "Place", 30*21, 0))
	b.Tick(at(21))
	require.InDelta(t, 100, *b.Service(at(21), orders).Service.PerSecond, 1e-6)
	b.Stats(at(22), stats("order-1", "Place", 30*22, 0))
	b.Tick(at(22))
	require.InDelta(t, 100, *b.Service(at(22), orders).Service.PerSecond, 1e-6)
	b.Stats(at(25), stats("order-1", "Place", 30*25, 0))
	b.Tick(at(25))
	require.InDelta(t, 30+10, *b.Service(at(25), orders).Service.PerSecond, 1e-6, "that of its report in place")
}

func TestAnInstanceThatIsGoneHasNoRate(t *testing.T) {
	t.Parallel()
	b := counting(t, 20)
	b.InstanceChanged(at(20.1), change(aegis.InstanceLeft, running(orders, "order-2", nil)))
	b.Tick(at(20.2))
	require.InDelta(t, 30, *b.Service(at(20.2), orders).Service.PerSecond, 1e-6)
}

func TestANewProcessOfTheSameNameHasCountsOfItsOwn(t *testing.T) {
	t.Parallel()
	b := counting(t, 20)
	s := stats("order-2", "Place", 5000, 0)
	s.Process = "another"
	b.Stats(at(21), s)
	b.Stats(at(21), stats("order-1", "Place", 30*21, 0))
	b.Tick(at(21))
	require.InDelta(t, 30+10, *b.Service(at(21), orders).Service.PerSecond, 1e-6)
	s.Methods[0].Counts.Requests = 5007
	b.Stats(at(22), s)
	b.Tick(at(22))
	require.InDelta(t, 30+7, *b.Service(at(22), orders).Service.PerSecond, 1e-6)
}

func TestCountsThatGoBackAreDropped(t *testing.T) {
	t.Parallel()
	b := counting(t, 20)
	b.Stats(at(21), stats("order-2", "Place", 3, 0))
	b.Stats(at(21), stats("order-1", "Place", math.MaxUint64, 0))
	b.Tick(at(21))
	require.InDelta(t, 20, *b.Service(at(21), orders).Service.PerSecond, 1e-6, "those of the reports")
	encoded(t, b, at(21))
}

func TestWithoutStatsTheReportsAreShown(t *testing.T) {
	t.Parallel()
	b := connected(t)
	b.Source(at(0), monitorapi.SourceFigures, monitorapi.SourceDenied, "allow it")
	one, two := running(orders, "order-1", good()), running(orders, "order-2", good())
	b.Instances(at(0), []aegis.Instance{one})
	b.Tick(at(0))
	b.Tick(at(1))
	f := b.Service(at(1), orders).Service.Figures
	require.InDelta(t, 10, *f.PerSecond, 1e-6)
	require.InDelta(t, 1, *f.ErrorPercent, 1e-6)
	require.InDelta(t, 4, *f.P99Ms, 1e-6)
	require.EqualValues(t, 2, *f.InFlight)
	b.Instances(at(2), []aegis.Instance{one, two})
	b.Tick(at(2))
	f = b.Service(at(2), orders).Service.Figures
	require.InDelta(t, 20, *f.PerSecond, 1e-6)
	require.Nil(t, f.P99Ms, "percentiles of two instances cannot be put together")
	hour := b.Service(at(2), orders).Service.Hour
	require.Len(t, hour, 60)
	require.InDelta(t, 15, *hour[59], 1e-3)
	require.Nil(t, hour[58])
	require.Equal(t, "figures cannot be seen", b.Header(at(2)).Verdict.Text[len("All that can be seen is well; "):])
}

func TestRareReadingsHaveFiguresToo(t *testing.T) {
	t.Parallel()
	b := connected(t)
	b.Instances(at(0), []aegis.Instance{running(orders, "order-1", good())})
	for s := range 120 {
		if s%30 == 0 {
			b.Stats(at(float64(s)), stats("order-1", "Place", uint64(50*s), 0))
		}
		b.Tick(at(float64(s)))
		if s >= 30 {
			f := b.Service(at(float64(s)), orders).Methods[0].Figures
			require.InDelta(t, 50, *f.PerSecond, 1e-6, "second %d", s)
			require.NotNil(t, f.P99Ms, "second %d", s)
		}
	}
}

func TestAnAbsurdReportIsNotShown(t *testing.T) {
	t.Parallel()
	b := connected(t)
	r := good()
	r.PerMinute, r.InFlight = 1e300, math.MaxInt64
	r.Errors = map[health.Code]uint64{1: math.MaxUint64, 2: math.MaxUint64}
	r.Latency.Max, r.Latency.P99 = math.MaxInt64, math.MaxInt64
	b.Instances(at(1), []aegis.Instance{running(orders, "order-1", r)})
	b.Tick(at(1))
	b.Tick(at(2))
	row := b.Service(at(2), orders).Instances[0]
	require.Nil(t, row.PerSecond)
	require.Nil(t, row.InFlight)
	require.Nil(t, row.P99Ms)
	require.LessOrEqual(t, *row.ErrorPercent, 100.0)
	encoded(t, b, at(2))
}

func TestHistoryHasEachStepAndAHeatMap(t *testing.T) {
	t.Parallel()
	b := counting(t, 60)
	now := at(60)
	for _, one := range [][2]string{{"", ""}, {"Place", ""}} {
		h, ok := b.History(now, now.Add(-time.Hour), orders, one[0], one[1])
		require.True(t, ok)
		require.Len(t, h.PerSecond, 360)
		require.EqualValues(t, 10, h.Step)
		require.Equal(t, start.Add(60*time.Second).Unix()-3590, h.From)
		require.Nil(t, h.PerSecond[0])
		require.InDelta(t, 100, *h.PerSecond[355], 1e-3)
		require.InDelta(t, 35, *h.ErrorPercent[355], 1e-3)
		require.NotNil(t, h.P99Ms[355])
		require.Len(t, h.HeatBoundsMs, 1)
		require.Len(t, h.Heat, 360)
		require.Equal(t, []uint64{1000}, h.Heat[355])
	}
	h, ok := b.History(now, now.Add(-25*time.Second), orders, "Place", "")
	require.True(t, ok)
	require.Len(t, h.PerSecond, 4, "the steps that were not over then")
	h, ok = b.History(now, now.Add(time.Hour), orders, "", "order-2")
	require.True(t, ok)
	require.Len(t, h.PerSecond, 1)
	require.InDelta(t, 70, *h.PerSecond[0], 1e-3)
	require.Empty(t, h.Heat)
	for _, unknown := range [][3]string{{"none", "", ""}, {orders, "None", ""}, {orders, "", "none"}, {orders, "Place", "order-1"}} {
		_, ok := b.History(now, start, unknown[0], unknown[1], unknown[2])
		require.False(t, ok, unknown)
	}
}

func TestTheHistoryOfAnInstanceGoesOnAfterARestart(t *testing.T) {
	t.Parallel()
	b := counting(t, 30)
	i := running(orders, "order-2", nil)
	b.InstanceChanged(at(31), change(aegis.InstanceExpired, i))
	_, ok := b.History(at(40), start, orders, "", "order-2")
	require.True(t, ok, "it was there within the hour")
	i.Process = "another"
	b.InstanceChanged(at(50), change(aegis.InstanceJoined, i))
	h, ok := b.History(at(60), start, orders, "", "order-2")
	require.True(t, ok)
	require.InDelta(t, 70, *h.PerSecond[len(h.PerSecond)-5], 1e-3)
}

func TestAnAnswerThatComesTooLateIsDropped(t *testing.T) {
	t.Parallel()
	b := counting(t, 20)
	b.InstanceChanged(at(20.1), change(aegis.InstanceLeft, running(orders, "order-2", nil)))
	b.Stats(at(20.2), stats("order-2", "Place", 70*20, 0))
	b.Stats(at(21), stats("order-2", "Place", 70*21, 0))
	b.Stats(at(21), stats("order-1", "Place", 30*21, 0))
	b.Tick(at(21))
	require.InDelta(t, 30, *b.Service(at(21), orders).Service.PerSecond, 1e-6)
	unknown := stats("order-1", "Place", 1, 0)
	unknown.Service = "none.v1.None"
	b.Stats(at(21), unknown)
	require.False(t, b.Service(at(21), unknown.Service).Found)
}
