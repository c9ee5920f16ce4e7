package health

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestRefusalsAreCountedBesideRequests(t *testing.T) {
	r := newRecorder(t, Config{Window: 6 * time.Second, Spans: 6})
	m := r.Method("Get")
	m.Refuse(start, RefusedOverloaded)
	m.Refuse(start, RefusedOverloaded)
	m.Refuse(start.Add(4*time.Second), RefusedNotActive)
	m.Refuse(start, refusals) // there is no such reason
	want := map[string]uint64{"OVERLOADED": 2, "NOT_ACTIVE": 1}
	s := r.Snapshot(start.Add(4 * time.Second))
	require.Equal(t, want, s.Refused)
	require.Equal(t, want, s.Methods["Get"].Refused)
	require.Zero(t, s.Requests)
	require.Zero(t, s.PerMinute)
	require.Nil(t, s.Latency)
	later := start.Add(7 * time.Second)
	require.Equal(t, map[string]uint64{"NOT_ACTIVE": 1}, m.Stats(later).Refused, "the window has moved on")
	m.Refuse(start.Add(6*time.Second), RefusedStale) // clears the first span
	want["STALE"] = 1
	require.Equal(t, want, m.Totals().Refused, "totals never forget")
	require.Equal(t, want, r.Totals().Refused)
	for why := range refusals {
		require.NotEqual(t, "UNKNOWN", Refusal(why).String())
	}
	require.Equal(t, "UNKNOWN", Refusal(refusals).String())
}

func TestDistributionSinceTheStart(t *testing.T) {
	r := newRecorder(t, Config{Window: 6 * time.Second, Spans: 6})
	m := r.Method("Get")
	bounds := []time.Duration{0, ms, 10 * ms, 100 * ms, math.MaxInt64}
	require.Equal(t, []uint64{0, 0, 0, 0, 0}, m.Distribution(bounds))
	for i := range 1000 { // over many windows
		m.Begin()
		m.End(start.Add(time.Duration(i)*time.Second), time.Duration(i+1)*100*time.Microsecond+50*time.Microsecond, 0)
	}
	got := m.Distribution(bounds)
	for i, want := range []float64{0, 9, 99, 999, 1000} {
		require.InDelta(t, want, got[i], want/32+1, "at most %v", bounds[i])
	}
	require.EqualValues(t, 1000, got[4])
	require.Empty(t, m.Distribution(nil))
}

func TestReportsAreBounded(t *testing.T) {
	latency := Latency{math.MaxInt64, math.MaxInt64, math.MaxInt64, math.MaxInt64, math.MaxInt64, math.MaxInt64}
	r := Report{
		Snapshot: Snapshot{
			Stats: Stats{
				Requests: math.MaxUint64, InFlight: math.MaxInt64, PerMinute: 1e300 / 3, Latency: &latency,
				Errors: map[Code]uint64{}, Refused: map[string]uint64{},
			},
			Methods: map[string]Stats{"Get": {}},
		},
	}
	for c := range Code(codes) {
		r.Errors[c] = math.MaxUint64
	}
	for why := range Refusal(refusals) {
		r.Refused[why.String()] = math.MaxUint64
	}
	cpu := 99.9
	for n := range 20 {
		r.Findings = append(r.Findings, Finding{Check: strconv.Itoa(n), Unhealthy: true, Reason: strings.Repeat("x", MaxReason)})
	}
	r.Assessment = Assess(r.Stats, Usage{CPUPercent: &cpu, MemoryBytes: math.MaxUint64}, r.Findings, Limits{})
	data, err := r.Encode()
	require.NoError(t, err)
	require.LessOrEqual(t, len(data), MaxReport)
	back, err := DecodeReport(data)
	require.NoError(t, err)
	require.Greater(t, len(back.Findings), 1)
	require.True(t, back.Unhealthy, "also if what says so is left out")
	require.Nil(t, back.Methods)
	require.Len(t, r.Findings, 20, "the caller's is not touched")
	require.Equal(t, r.Errors, back.Errors)
	require.Equal(t, r.Refused, back.Refused)
}

// docs/observability.md says how large they are.
func TestReportsAreSmall(t *testing.T) {
	r := newRecorder(t, Config{})
	m := r.Method("Get")
	for i := range 1000 {
		m.Begin()
		m.End(start.Add(time.Minute), time.Duration(i)*time.Millisecond/7, Code(i%3))
	}
	cpu := 12.3
	stats := r.Stats(start.Add(time.Minute))
	report := Report{
		Snapshot: Snapshot{Stats: stats}, Assessment: Assess(stats, Usage{&cpu, 123_456_789}, nil, Limits{}),
	}
	data, err := report.Encode()
	require.NoError(t, err)
	require.Less(t, len(data), 300, string(data))
	require.True(t, json.Valid(data))
}

func TestNeedsFailsAsTheFunctionDoes(t *testing.T) {
	var err error
	check := Needs(func(context.Context) error { return err })
	require.Equal(t, Result{}, check(t.Context()))
	err = errors.New("refused")
	require.Equal(t, Result{Unhealthy: true, Reason: "refused"}, check(t.Context()))
	require.Nil(t, Needs(nil))
}

func TestReasonsAreCutWithinTheirText(t *testing.T) {
	var c Checks
	require.NoError(t, c.Add("long", func(context.Context) Result {
		return Result{Reason: strings.Repeat("x", MaxReason-1) + "ä"}
	}))
	require.Equal(t, strings.Repeat("x", MaxReason-1), c.Run(t.Context())[0].Reason)
}
