package aegis_test

import (
	"context"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/wire"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// A header that both sides could do without would cost a fifth of the rate.
func TestTimeoutTravelsOnlyIfItIsNotTheMethodsOwn(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	requests := standInFor(t, conn, doSubject, func(_ int, msg *nats.Msg) { answerWith(msg, &testv1.DoResponse{}) })
	client := newClient(t, conn)
	for name, c := range map[string]struct {
		timeout time.Duration
		least   int64 // of the header, in ms; 0: none
		most    int64
	}{
		"no deadline":       {0, 0, 0},
		"the method's own":  {5 * time.Second, 0, 4999}, // after 1 ms it is another one
		"shorter":           {2 * time.Second, 1500, 2000},
		"longer":            {time.Minute, 59_000, 60_000},
		"beyond the limits": {100 * 24 * time.Hour, 86_400_000, 86_400_000},
	} {
		ctx, cancel := t.Context(), func() {}
		if c.timeout > 0 {
			ctx, cancel = context.WithTimeout(ctx, c.timeout)
		}
		_, err := client.Do(ctx, doRequest(""))
		cancel()
		require.NoError(t, err, name)
		msg := requests.all()[requests.count()-1]
		header := msg.Header.Get(wire.HeaderTimeout)
		if header == "" {
			require.Zero(t, c.least, name)
			require.Empty(t, msg.Header, "%s: a header that nobody needs", name)
			continue
		}
		millis, err := strconv.ParseInt(header, 10, 64)
		require.NoError(t, err, "%s: PEERS 13: a relative time, not an instant", name)
		require.LessOrEqual(t, c.least, millis, name)
		require.LessOrEqual(t, millis, c.most, name)
	}
}

// PEERS 13: no clock of another machine has a part in it.
func TestHandlersDeadlineCountsFromTheArrival(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	left := make(chan time.Duration, 1)
	serve(t, conn, probe{do: func(ctx context.Context, _ *testv1.DoRequest) (*testv1.DoResponse, error) {
		deadline, ok := ctx.Deadline()
		if !ok {
			t.Error("a handler without a deadline")
		}
		left <- time.Until(deadline)
		return &testv1.DoResponse{}, nil
	}})
	nc := plain(t, conn)
	for timeout, want := range map[string]time.Duration{"": 5 * time.Second, "60000": time.Minute, "86400000": 24 * time.Hour} {
		msg := nats.NewMsg(doSubject)
		if timeout != "" {
			msg.Header.Set(wire.HeaderTimeout, timeout)
		}
		_, err := nc.RequestMsg(msg, patience)
		require.NoError(t, err)
		got := <-left
		require.LessOrEqual(t, got, want)
		require.Greater(t, got, want-time.Second)
	}
}

func TestHandlersContextEndsAtTheDeadline(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	ended := make(chan error, 1)
	serve(t, conn, probe{quick: func(ctx context.Context, _ *testv1.QuickRequest) (*testv1.QuickResponse, error) {
		<-ctx.Done()
		ended <- ctx.Err()
		return nil, ctx.Err()
	}})
	_, err := newClient(t, conn).Quick(t.Context(), quickRequest(""))
	require.Equal(t, aegis.CodeDeadlineExceeded, aegis.CodeOf(err))
	if !aegis.IsWireError(err) { // whichever side is first
		require.ErrorIs(t, err, context.DeadlineExceeded)
	}
	require.ErrorIs(t, receive(t, "the handler's context ends", ended), context.DeadlineExceeded)
}

func TestCallWithoutAnAnswerEndsAtItsDeadline(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	requests := standInFor(t, conn, quickSubject, unanswered)
	client := newClient(t, conn)
	start := time.Now()
	_, err := client.Quick(t.Context(), quickRequest(""))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Equal(t, aegis.CodeDeadlineExceeded, aegis.CodeOf(err))
	require.False(t, aegis.IsWireError(err))
	require.GreaterOrEqual(t, time.Since(start), 250*time.Millisecond, "the method's own timeout")

	require.Equal(t, 1, requests.count(), "PEERS 7: of unknown outcome, so sent once")

	standInFor(t, conn, doSubject, unanswered)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	start = time.Now()
	_, err = client.Do(ctx, doRequest(""))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Less(t, time.Since(start), 4*time.Second, "the context's deadline wins over the timeout of 5 s")
}

func TestCallWhoseDeadlineHasPassedIsNotSent(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	requests := standInFor(t, conn, doSubject, unanswered)
	client := newClient(t, conn)
	for _, ctx := range []func() (context.Context, context.CancelFunc){
		func() (context.Context, context.CancelFunc) {
			return context.WithDeadline(t.Context(), time.Now().Add(-time.Hour))
		},
		func() (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			return ctx, cancel
		},
	} {
		ctx, cancel := ctx()
		_, err := client.Do(ctx, doRequest(""))
		cancel()
		require.ErrorIs(t, err, ctx.Err())
		require.NotEqual(t, aegis.CodeUnknown, aegis.CodeOf(err))
	}
	require.NoError(t, conn.NATS().Flush())
	require.Zero(t, requests.count())
}

func TestContextsDeriveFromAHandlersContextWithoutGoroutines(t *testing.T) {
	t.Parallel()
	const derived = 200
	type key struct{}
	conn := connect(t)
	var extra int
	kept := make(chan context.Context, 1)
	after := make(chan struct{})
	serve(t, conn, probe{do: func(ctx context.Context, _ *testv1.DoRequest) (*testv1.DoResponse, error) {
		before := countGoroutines("context")
		for range derived {
			child, cancel := context.WithCancel(context.WithValue(ctx, key{}, 1))
			t.Cleanup(cancel)
			require.NoError(t, child.Err())
		}
		extra = countGoroutines("context") - before
		child, cancel := context.WithCancel(ctx)
		cancel()
		require.ErrorIs(t, child.Err(), context.Canceled)
		require.NoError(t, ctx.Err(), "a child's end is not its parent's")
		context.AfterFunc(ctx, func() { close(after) })
		longer, cancel := context.WithTimeout(context.WithValue(ctx, key{}, "v"), time.Hour)
		t.Cleanup(cancel)
		require.Equal(t, "v", longer.Value(key{}))
		require.NotEmpty(t, instanceOf(longer), "the call is found through derived contexts")
		deadline, _ := longer.Deadline()
		require.Less(t, time.Until(deadline), time.Minute)
		kept <- longer
		return &testv1.DoResponse{}, nil
	}})
	_, err := newClient(t, conn).Do(t.Context(), doRequest(""))
	require.NoError(t, err)
	require.Zero(t, extra, "goroutines for derived contexts")
	longer := receive(t, "the handler's context", kept)
	receive(t, "what AfterFunc was given runs when the handler has returned", after)
	receive(t, "derived contexts end then as well", longer.Done())
	require.ErrorIs(t, longer.Err(), context.Canceled)
}

// countGoroutines counts those that package context has started.
func countGoroutines(pkg string) int {
	records := make([]runtime.StackRecord, 10_000)
	n, _ := runtime.GoroutineProfile(records)
	count := 0
	for _, r := range records[:n] {
		frames := runtime.CallersFrames(r.Stack())
		for more := true; more; {
			var f runtime.Frame
			if f, more = frames.Next(); len(f.Function) > len(pkg) && f.Function[:len(pkg)+1] == pkg+"." &&
				f.Function == "context.(*cancelCtx).propagateCancel.func2" {
				count++
			}
		}
	}
	return count
}
