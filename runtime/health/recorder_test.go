package health

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var start = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func newRecorder(t testing.TB, cfg Config) *Recorder {
	t.Helper()
	r, err := NewRecorder(cfg, start)
	require.NoError(t, err)
	return r
}

func TestImpossibleConfigurations(t *testing.T) {
	for _, cfg := range []Config{{Spans: -1}, {Spans: MaxSpans + 1}, {Window: -time.Second}, {Window: 59 * time.Millisecond}, {Window: 1, Spans: 1}} {
		_, err := NewRecorder(cfg, start)
		require.ErrorIs(t, err, ErrConfig, "%v", cfg)
	}
	newRecorder(t, Config{Window: MinSpan, Spans: 1})
}

func TestSnapshotOfTwoMethods(t *testing.T) {
	r := newRecorder(t, Config{})
	get, place := r.Method("Get"), r.Method("Place")
	r.Method("Never")
	require.Same(t, get, r.Method("Get"))
	now := start.Add(30 * time.Second)
	for i := range 100 {
		get.Begin()
		get.End(now, time.Duration(i+1)*time.Millisecond, 0)
	}
	for range 3 {
		place.Begin()
	}
	place.End(now, 300*time.Millisecond, 14)
	place.End(now, 100*time.Millisecond, 99)
	s := r.Snapshot(now)
	require.Equal(t, []string{"Get", "Place"}, slices.Sorted(func(yield func(string) bool) {
		for name := range s.Methods {
			if !yield(name) {
				return
			}
		}
	}))
	g := s.Methods["Get"]
	require.Equal(t, uint64(100), g.Requests)
	require.Nil(t, g.Errors)
	require.InDelta(t, 200, g.PerMinute, 0, "100 in 30 s")
	require.Equal(t, time.Millisecond, g.Latency.Min)
	require.Equal(t, 100*time.Millisecond, g.Latency.Max)
	require.Equal(t, 50500*time.Microsecond, g.Mean())
	for _, p := range []struct{ got, want time.Duration }{{g.Latency.P50, 50 * ms}, {g.Latency.P90, 90 * ms}, {g.Latency.P99, 99 * ms}} {
		require.False(t, off(p.got, p.want), p)
	}
	p := s.Methods["Place"]
	require.Equal(t, map[Code]uint64{14: 1, codeUnknown: 1}, p.Errors)
	require.Equal(t, int64(1), p.InFlight)
	require.InDelta(t, 100, p.ErrorPercent(), 0)
	require.Equal(t, uint64(102), s.Requests)
	require.Equal(t, int64(1), s.InFlight)
	require.Equal(t, 300*time.Millisecond, s.Latency.Max)
	require.Equal(t, (5050+400)*time.Millisecond/102, s.Mean())

	place.End(now, 0, 0)
	place.End(now, 0, 0)
	require.Zero(t, place.InFlight(), "one Begin was missing")
	require.Equal(t, "Place", place.Name())
	require.Len(t, r.Methods(), 3)
}

func TestASnapshotOfNothing(t *testing.T) {
	r := newRecorder(t, Config{})
	r.Method("Get")
	s := r.Snapshot(start)
	require.Equal(t, Snapshot{}, s)
	require.Zero(t, s.ErrorPercent())
	require.Zero(t, s.Mean())
	require.Equal(t, Snapshot{}, r.Snapshot(start.Add(-time.Hour)), "a clock that ran backwards")
}

func TestNonsenseIsCountedAsNothing(t *testing.T) {
	r := newRecorder(t, Config{})
	m := r.Method("Get")
	m.Begin()
	m.End(start.Add(-time.Hour), -time.Second, 0)
	s := r.Snapshot(start)
	require.Equal(t, uint64(1), s.Requests)
	require.Equal(t, Latency{}, *s.Latency)
	require.InDelta(t, 60, s.PerMinute, 0, "of one second at least")
}

// TestTheWindowMoves records at random times and compares with a list of all
// that was recorded: nothing older than the window counts, everything younger
// than the window less one part does, and totals never forget.
func TestTheWindowMoves(t *testing.T) {
	for seed := range uint64(15) {
		rng := rand.New(rand.NewPCG(seed, 1))
		spans := 1 + rng.IntN(8)
		width := time.Duration(1+rng.IntN(10)) * time.Second
		window := width * time.Duration(spans)
		r := newRecorder(t, Config{Window: window, Spans: spans})
		m := r.Method("Get")
		type ended struct{ at, took time.Duration }
		var all []ended
		var busy time.Duration
		now := time.Duration(0)
		for range 500 {
			now += time.Duration(rng.Int64N(int64(width / 2)))
			if rng.IntN(40) == 0 {
				now += time.Duration(rng.Int64N(int64(3 * window)))
			}
			e := ended{now, time.Duration(rng.IntN(1e9))}
			m.Begin()
			m.End(start.Add(e.at), e.took, 0)
			all = append(all, e)
			busy += e.took
			now += time.Duration(rng.Int64N(int64(width / 2)))
			if rng.IntN(5) > 0 {
				continue
			}
			var atMost, atLeast uint64
			var longest time.Duration
			for _, e := range all {
				if e.at > now-window {
					atMost++
					longest = max(longest, e.took)
				}
				if e.at > now-window+width {
					atLeast++
				}
			}
			s := r.Snapshot(start.Add(now))
			require.LessOrEqual(t, s.Requests, atMost)
			require.GreaterOrEqual(t, s.Requests, atLeast)
			if s.Latency != nil {
				require.LessOrEqual(t, s.Latency.Max, longest)
			}
			require.Equal(t, Totals{Requests: uint64(len(all)), Busy: busy}, m.Totals())
			require.Equal(t, m.Totals(), r.Totals())
		}
	}
}

// TestASteadyRateIsSteady: wherever in a part of the window it is asked for.
func TestASteadyRateIsSteady(t *testing.T) {
	r := newRecorder(t, Config{})
	m := r.Method("Get")
	for i := range 10 * 60 * 5 {
		now := start.Add(time.Duration(i) * 100 * ms)
		m.Begin()
		m.End(now, ms, 0)
		if i > 100 && i%7 == 0 {
			require.InDelta(t, 600, r.Snapshot(now).PerMinute, 15, now)
		}
	}
}

func TestOneWhoWasStoppedOnItsWayCountsInNoLaterWindow(t *testing.T) {
	w := newWindow(time.Second, 3)
	w.record(10*time.Second, 1, 0)
	w.record(7*time.Second, 1, 0) // the same span, an older part
	sum := newTally()
	w.sumUp(10*time.Second, sum)
	require.Equal(t, uint64(1), sum.requests())
	require.NotNil(t, w.turn(10), "another one has turned it meanwhile")
}

func TestMeanSince(t *testing.T) {
	r := newRecorder(t, Config{})
	m := r.Method("Get")
	for i := range 1000 {
		m.Begin()
		m.End(start.Add(time.Duration(i)*time.Millisecond), time.Millisecond, 0)
	}
	before := r.Totals()
	require.Zero(t, r.Totals().MeanSince(before))
	m.Begin()
	m.End(start.Add(time.Hour), 20*time.Millisecond, 4)
	require.Equal(t, 20*time.Millisecond, r.Totals().MeanSince(before))
	require.Equal(t, map[Code]uint64{4: 1}, r.Totals().Errors)
	require.Zero(t, before.MeanSince(r.Totals()), "the wrong way round")
}

func TestConcurrentRecording(t *testing.T) {
	r := newRecorder(t, Config{Window: time.Second})
	m := r.Method("Get")
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for i := range 5000 {
				m.Begin()
				m.End(start.Add(time.Duration(i)*time.Millisecond), time.Duration(i+worker), Code(i%3))
			}
		})
	}
	wg.Go(func() {
		for i := range 500 {
			s := r.Snapshot(start.Add(time.Duration(i*10) * time.Millisecond))
			if l := s.Latency; l != nil && (l.P50 < l.Min || l.P99 > l.Max || l.Mean > l.Max) {
				t.Errorf("latencies in no order: %+v", l)
			}
			r.Method("Other")
			r.Totals()
		}
	})
	wg.Wait()
	require.Equal(t, uint64(20_000), m.Totals().Requests+m.skipped(t))
	require.Zero(t, m.InFlight())
}

// skipped returns what was left out because the other workers were more than a
// whole window ahead, which the scheduler decides.
func (m *Method) skipped(t *testing.T) uint64 {
	t.Helper()
	n := m.Totals().Requests
	require.LessOrEqual(t, n, uint64(20_000))
	require.Positive(t, n)
	return 20_000 - n
}

func TestRecordingAllocatesNothing(t *testing.T) {
	r := newRecorder(t, Config{})
	m := r.Method("Get")
	m.Begin()
	m.End(start, time.Millisecond, 0)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		m.Begin()
		m.End(start, time.Millisecond, 0)
	}))
}

func TestReportsAreCompactAndReadable(t *testing.T) {
	r := newRecorder(t, Config{})
	m := r.Method("Get")
	for i := range 100_000 {
		m.Begin()
		m.End(start.Add(time.Minute-1), time.Duration(i*1234), Code(i%50/49*14))
	}
	cpu := 12.5
	s := r.Snapshot(start.Add(time.Minute - 1))
	s.Methods = nil
	report := Report{Snapshot: s, Assessment: Assess(s.Stats, Usage{CPUPercent: &cpu, MemoryBytes: 123_456_789}, nil, Limits{})}
	data, err := json.Marshal(report)
	require.NoError(t, err)
	require.Less(t, len(data), 300, string(data))
	require.JSONEq(t, `{"requests":100000,"errors":{"14":2000},"in_flight":0,"per_minute":100000,
		"latency":{"min":0,"p50":`+number(s.Latency.P50)+`,"p90":`+number(s.Latency.P90)+`,"p99":`+number(s.Latency.P99)+`,"max":123398766,"mean":61699383},
		"score":100,"grade":"B","usage":{"cpu_percent":12.5,"memory_bytes":123456789}}`, string(data))
	back, err := DecodeReport(data)
	require.NoError(t, err)
	require.Equal(t, report, back)
}

func number(d time.Duration) string {
	data, _ := json.Marshal(d)
	return string(data)
}

func TestReportsOfOthers(t *testing.T) {
	for _, good := range []string{`{}`, `{"future":{"a":1},"score":3}`, `{"methods":{"M":{"requests":1}}}`} {
		_, err := DecodeReport([]byte(good))
		require.NoError(t, err, good)
	}
	for _, bad := range []string{
		``, `null x`, `[]`, `{"requests":-1}`, `{"in_flight":-1}`, `{"per_minute":-1}`, `{"score":101}`, `{"score":-1}`, `{"errors":{"x":1}}`,
		`{"latency":{"min":5,"max":1}}`, `{"methods":{"M":{"latency":{"p50":-1}}}}`,
	} {
		_, err := DecodeReport([]byte(bad))
		require.ErrorIs(t, err, ErrReport, bad)
	}
}

func FuzzDecodeReport(f *testing.F) {
	f.Add([]byte(`{"requests":3,"errors":{"14":2},"in_flight":1,"per_minute":3.5,"latency":{"min":1,"p50":2,"p90":2,"p99":2,"max":3,"mean":2},"score":70,"grade":"B"}`))
	f.Add([]byte(`{"methods":{"M":{"requests":1}},"findings":[{"check":"db","unhealthy":true}],"usage":{"cpu_percent":1e300}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := DecodeReport(data)
		if err != nil {
			return
		}
		again, err := json.Marshal(r)
		require.NoError(t, err)
		_, err = DecodeReport(again)
		require.NoError(t, err)
		require.GreaterOrEqual(t, Assess(r.Stats, r.Usage, r.Findings, Limits{}).Score, 0.0)
	})
}
