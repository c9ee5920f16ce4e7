package health

import (
	"context"
	"math"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestChecksReportWhatTheyFind(t *testing.T) {
	var c Checks
	require.Nil(t, c.Run(t.Context()))
	require.ErrorIs(t, c.Add("db", nil), ErrNilCheck)
	require.ErrorIs(t, c.Add("", func(context.Context) Result { return Result{} }), ErrCheckName)
	for name, check := range map[string]Check{
		"well": func(context.Context) Result { return Result{} },
	} {
		require.NoError(t, c.Add(name, check))
		require.ErrorIs(t, c.Add(name, check), ErrCheckName)
	}
	require.NoError(t, c.Add("queue", func(context.Context) Result { return Result{Penalty: 7, Reason: "long"} }))
	require.NoError(t, c.Add("db", func(context.Context) Result { return Result{Unhealthy: true} }))
	require.NoError(t, c.Add("panics", func(context.Context) Result { panic("boom") }))
	require.NoError(t, c.Add("exits", func(context.Context) Result { runtime.Goexit(); return Result{} }))
	require.NoError(t, c.Add("no number", func(context.Context) Result { return Result{Penalty: math.NaN(), Reason: "?"} }))
	want := []Finding{
		{Check: "queue", Penalty: 7, Reason: "long"},
		{Check: "db", Unhealthy: true},
		{Check: "panics", Unhealthy: true, Reason: "panic: boom"},
		{Check: "exits", Unhealthy: true, Reason: "the check ended its goroutine"},
		{Check: "no number", Reason: "?"},
	}
	for range 2 {
		require.Equal(t, want, c.Run(t.Context()))
	}
}

func TestAHangingCheckHoldsNothingUpAndRunsOnce(t *testing.T) {
	var c Checks
	calls := 0
	release := make(chan struct{})
	require.NoError(t, c.Add("hangs", func(context.Context) Result {
		calls++ // one at a time, as the race detector would tell
		<-release
		return Result{Penalty: 3}
	}))
	require.NoError(t, c.Add("well", func(context.Context) Result { return Result{} }))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 3 {
		require.Contains(t, c.Run(ctx), Finding{Check: "hangs", Unhealthy: true, Reason: "no answer in time"})
	}
	close(release)
	require.Equal(t, []Finding{{Check: "hangs", Penalty: 3}}, c.Run(t.Context()))
	require.LessOrEqual(t, calls, 2)
}
