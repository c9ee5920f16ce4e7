package load

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// randomShapes are shapes of all kinds, with parameters of many sizes.
func randomShapes(r *rand.Rand) map[string]Shape {
	rate := func() float64 { return math.Pow(10, r.Float64()*5) }
	length := func() time.Duration { return time.Duration(r.Int64N(int64(20*time.Second))) + time.Millisecond }
	a, b, c := rate(), rate(), rate()
	return map[string]Shape{
		fmt.Sprintf("constant %g", a):          Constant(a),
		fmt.Sprintf("ramp %g %g", a, b):        Ramp(a, b, length()),
		fmt.Sprintf("ramp 0 %g", b):            Ramp(0, b, length()),
		fmt.Sprintf("ramp %g 0", a):            Ramp(a, 0, length()),
		fmt.Sprintf("spike %g %g", a, c):       Spike(a, c, length(), length()),
		fmt.Sprintf("spike at once %g", c):     Spike(a, c, 0, length()),
		fmt.Sprintf("wave %g %g", a, a/2):      Wave(a, a/2, length()),
		fmt.Sprintf("wave down to 0, %g", b):   Wave(b, b, length()),
		fmt.Sprintf("burst %d", int64(c/10)+1): Burst(int64(c/10)+1, length()),
	}
}

func TestBeforeAnyTimeAsManyCallsStartAsTheIntegralSays(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		for name, s := range randomShapes(r) {
			for range 5 {
				at := time.Duration(r.Int64N(int64(40 * time.Second)))
				calls := s.Calls(at)
				got := startsBefore(s, at)
				// A start is in whole nanoseconds, in which an integral grows a little.
				require.InDelta(t, math.Ceil(calls), float64(got), 1, "%s before %v", name, at)
				require.InDelta(t, calls+0.5, float64(got), 0.51+calls*1e-9, "%s before %v", name, at)
			}
		}
	}
}

// startsBefore counts by halving, as starts never fall.
func startsBefore(s Shape, at time.Duration) int64 {
	low, high := int64(0), int64(1)
	for s.Start(high) < at {
		high *= 2
	}
	if s.Start(0) >= at {
		return 0
	}
	for high-low > 1 {
		if mid := (low + high) / 2; s.Start(mid) < at {
			low = mid
		} else {
			high = mid
		}
	}
	return high
}

func TestCallsStartInTheirOrder(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 4))
	for range 100 {
		for name, s := range randomShapes(r) {
			require.Zero(t, s.Start(0), name)
			last := time.Duration(0)
			for n := range int64(2000) {
				at := s.Start(n)
				require.GreaterOrEqual(t, at, last, "%s call %d", name, n)
				last = at
			}
		}
	}
}

func TestShapesHaveTheRatesOfTheirDefinition(t *testing.T) {
	t.Parallel()
	in := func(s Shape, from, to time.Duration) float64 { return s.Calls(to) - s.Calls(from) }
	require.InDelta(t, 500, in(Constant(100), 0, 5*time.Second), 1e-6)

	ramp := Ramp(0, 100, 10*time.Second)
	require.InDelta(t, 500, in(ramp, 0, 10*time.Second), 1e-6)
	require.InDelta(t, 125, in(ramp, 0, 5*time.Second), 1e-6)
	require.InDelta(t, 100, in(ramp, 20*time.Second, 21*time.Second), 1e-6, "the rate stays")

	spike := Spike(10, 1000, 2*time.Second, time.Second)
	require.InDelta(t, 20, in(spike, 0, 2*time.Second), 1e-6)
	require.InDelta(t, 1000, in(spike, 2*time.Second, 3*time.Second), 1e-6)
	require.InDelta(t, 10, in(spike, 3*time.Second, 4*time.Second), 1e-6)

	wave := Wave(100, 50, 4*time.Second)
	require.InDelta(t, 400, in(wave, 0, 4*time.Second), 1e-6, "a period has the calls of the mean")
	require.InDelta(t, 200+50*4/math.Pi, in(wave, time.Second, 3*time.Second), 1e-6, "the high half")

	burst := Burst(50, time.Second)
	require.Equal(t, time.Second, burst.Start(99))
	require.Equal(t, 2*time.Second, burst.Start(100))
}

func TestAShapeWithoutFurtherCallsSaysSo(t *testing.T) {
	t.Parallel()
	s := Ramp(10, 0, 2*time.Second) // ten calls
	require.Less(t, s.Start(9), 2*time.Second)
	require.Equal(t, Never, s.Start(11))
}
