package load

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestNoCallIsLostWhileSomebodyCollects(t *testing.T) {
	t.Parallel()
	const workers, each = 4, 50_000
	rec := NewRecorder(classify, 0, 10*time.Millisecond)
	rec.begin(workers, 0, 0)
	var running sync.WaitGroup
	for w := range workers {
		running.Go(func() {
			for i := range each {
				at := time.Duration(i) * time.Microsecond
				rec.record(w, at, at, at+time.Duration(w+1)*time.Microsecond, nil)
				rec.Messages(w, 2)
			}
		})
	}
	var live Live
	all := make(chan struct{})
	go func() { running.Wait(); close(all) }()
	for done := false; !done; {
		select {
		case <-all:
			done = true
		default:
		}
		l := rec.Live(time.Second)
		live.Calls += l.Calls
		live.Messages += l.Messages
	}
	got := rec.Recording()
	require.Equal(t, int64(workers*each), got.Calls)
	require.Equal(t, got.Calls, live.Calls)
	require.Equal(t, 2*got.Calls, got.Messages)
	require.Equal(t, got.Messages, live.Messages)
	require.Equal(t, got.Calls, got.Latency.TotalCount())
	for w := range int64(workers) {
		below := got.Latency.ValueAtPercentile(float64(w)*25 + 20)
		require.InEpsilon(t, (w+1)*1000, below, 0.11, "a quarter of the calls is of each worker")
	}
}

func TestTheTimeLineKeepsItsSumsHoweverLongTheRunIs(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(5, 6))
	for _, length := range []time.Duration{time.Second, time.Minute, 7 * time.Hour} {
		rec := NewRecorder(classify, 0, 10*time.Millisecond)
		rec.begin(1, 0, 0)
		for range 3000 {
			end := time.Duration(r.Int64N(int64(length)))
			rec.record(0, end-min(end, time.Millisecond), end, end, nil)
		}
		got := rec.Recording()
		var calls, values int64
		for i := range got.Bins {
			calls += got.Bins[i].Calls
			values += got.Bins[i].Latency.TotalCount()
		}
		require.Equal(t, int64(3000), calls)
		require.Equal(t, int64(3000), values)
		require.LessOrEqual(t, len(got.Bins), maxBins)
		if length > time.Minute {
			require.GreaterOrEqual(t, len(got.Bins), maxBins/2-1)
		}
		require.InDelta(t, length.Seconds(), (time.Duration(len(got.Bins)) * got.BinLength).Seconds(), length.Seconds()/20)
	}
}

func TestLatenciesBeyondTheHistogramCountAsItsLongest(t *testing.T) {
	t.Parallel()
	rec := NewRecorder(classify, 0, time.Second)
	rec.begin(1, 0, 0)
	rec.record(0, 0, 0, 3*Longest, nil)
	require.InEpsilon(t, int64(Longest), rec.Recording().Latency.Max(), 0.01)
	require.Equal(t, int64(1), rec.Recording().Latency.TotalCount())
}
