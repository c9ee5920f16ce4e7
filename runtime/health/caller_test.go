package health

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestCallerCountsWhatBecomesOfItsCalls(t *testing.T) {
	t.Parallel()
	now := time.Now()
	callers := NewCallers(now)
	get := callers.Method("Get")
	require.Same(t, get, callers.Method("Get"))
	callers.Method("Cancel")
	require.Equal(t, "Cancel", callers.Methods()[0].Name())

	get.Begin()
	require.EqualValues(t, 1, get.InFlight())
	get.Retry()
	get.Wait(time.Second)
	get.Fail("OVERLOADED")
	get.Fail("")
	get.LeaveUnknown()
	get.End(now.Add(2*time.Hour), time.Minute, 4)
	get.Begin()
	get.End(now.Add(4*time.Hour), time.Minute, 0)
	totals := get.CallerTotals()
	require.Equal(t, CallerTotals{
		Totals:  Totals{Requests: 2, Errors: map[Code]uint64{4: 1}, Busy: 2 * time.Minute},
		Retries: 1, Failed: map[string]uint64{"OVERLOADED": 1}, Unknown: 1, Waited: time.Second,
	}, totals)
	totals.Failed["OVERLOADED"] = 7
	require.EqualValues(t, 1, get.CallerTotals().Failed["OVERLOADED"], "the totals are the caller's own")
	require.Equal(t, []uint64{0, 2}, get.Distribution([]time.Duration{time.Second, time.Hour}))
}

// Reasons come from the wire: neither their number nor their text may grow without end.
func TestCallerBoundsReasons(t *testing.T) {
	t.Parallel()
	c := NewCallers(time.Now()).Method("Get")
	c.Fail("a reason\n")
	c.Fail(strings.Repeat("A", 33))
	for n := range 100 {
		c.Fail("R" + strings.Repeat("X", n%30))
	}
	failed := c.CallerTotals().Failed
	require.Len(t, failed, maxReasons)
	require.Greater(t, failed[OtherReason], uint64(2))
	sum := uint64(0)
	for _, n := range failed {
		sum += n
	}
	require.EqualValues(t, 102, sum)
}
