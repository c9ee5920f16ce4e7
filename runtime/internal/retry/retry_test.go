package retry

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/spec"
	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/handling"
	"github.com/aegisrpc/aegis/runtime/internal/status"
)

func between(t *testing.T, d, least, most time.Duration) {
	t.Helper()
	require.GreaterOrEqual(t, d, least)
	require.LessOrEqual(t, d, most)
}

func TestPausesGrowAndAreJittered(t *testing.T) {
	t.Parallel()
	a := &Attempt{Method: &spec.Method{
		Retry: spec.Retry{MaxAttempts: 100, InitialBackoff: 100 * time.Millisecond, MaxBackoff: time.Second},
	}}
	for n, millis := range []int{100, 200, 400, 800, 1000, 1000} {
		want := time.Duration(millis) * time.Millisecond
		a.Number = n + 1
		between(t, a.backoff(), want*8/10, want*12/10)
	}
	a.Number = 100
	between(t, a.backoff(), 800*time.Millisecond, 1200*time.Millisecond)
	for n, millis := range []int{10, 40, 160, 640, 1000, 1000} {
		want := time.Duration(millis) * time.Millisecond
		between(t, bus.Pause(n+1), want*8/10, want*12/10)
	}
	between(t, bus.Pause(1<<30), 800*time.Millisecond, 1200*time.Millisecond)
	a.Number = 1
	between(t, a.stalePause(), 8*time.Millisecond, 12*time.Millisecond)
	a.Number = 2
	between(t, a.stalePause(), 2*handling.TickInterval, 4*handling.TickInterval) // see handling.PauseDetector
	seen := map[time.Duration]bool{}
	for range 100 {
		seen[bus.Jitter(time.Second)] = true
	}
	require.Greater(t, len(seen), 50)
	require.Zero(t, bus.Jitter(0))
}

func TestPausesOfCallsAreThoseOfTheProto(t *testing.T) {
	t.Parallel()
	service, err := spec.FromDescriptor(testv1.File_aegistest_v1_testing_proto.Services().ByName("ProbeService"))
	require.NoError(t, err)
	a := &Attempt{Method: service.Method("Get")} // 5 ms to 20 ms
	for n, millis := range []int{5, 10, 20, 20} {
		want := time.Duration(millis) * time.Millisecond
		a.Number = n + 1
		between(t, a.backoff(), want*8/10, want*12/10)
	}
}

// An overloaded instance does not keep a call from the others; when all are, it
// waits.
func TestAnOverloadedCallWaitsOnlyWhenAllAreOverloaded(t *testing.T) {
	t.Parallel()
	overloaded := status.Refusal(status.ResourceExhausted, wire.ReasonOverloaded, "").WithNotRun(true) // as decoded
	overloaded.FromServer = true
	a := &Attempt{
		Method: &spec.Method{Retry: spec.Retry{MaxAttempts: 3, InitialBackoff: time.Second, MaxBackoff: time.Second}},
		Route:  ToPicked, Number: 1, Budget: NewBudget(0, 1),
	}
	for i, untried := range []bool{true, false} {
		a.Untried = untried
		d := a.Failed(overloaded)
		require.True(t, d.Again)
		require.Equal(t, i == 1, d.Pause > 0, "%d of 2 tried", i+1)
	}
	for range 8 {
		require.True(t, a.Failed(overloaded).Again)
	}
	require.False(t, a.Failed(overloaded).Again, "the budget is spent")
}
