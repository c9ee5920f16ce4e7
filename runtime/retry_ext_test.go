package aegis_test

import (
	"context"
	"errors"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/wire"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// PEERS 2: a call with no server failed only after a timeout.
func TestCallToNobodyFailsFast(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	client := newClient(t, conn)
	eventually(t, "the void probe is over", func() bool { return conn.NATS().Stats().InMsgs == 1 })
	for _, c := range []struct {
		opts     []aegis.CallOption
		attempts uint64
		least    time.Duration
	}{
		{nil, 3, 40 * time.Millisecond}, // 10 and 40 ms, less a fifth
		{[]aegis.CallOption{aegis.MaxAttempts(1)}, 1, 0},
		{[]aegis.CallOption{aegis.MaxAttempts(2)}, 2, 8 * time.Millisecond},
	} {
		sent, start := conn.NATS().Stats().OutMsgs, time.Now()
		_, err := client.Do(t.Context(), doRequest(""), c.opts...)
		took := time.Since(start)
		require.ErrorIs(t, err, aegis.ErrNoResponders)
		require.EqualError(t, err, "UNAVAILABLE (NO_RESPONDERS): no server of aegistest.v1.ProbeService listens on "+doSubject)
		require.False(t, aegis.IsWireError(err))
		require.Equal(t, c.attempts, conn.NATS().Stats().OutMsgs-sent)
		require.GreaterOrEqual(t, took, c.least)
		require.Less(t, took, 2*time.Second, "long before the timeout of 5 s")
	}
}

func TestWaitForReadyWaitsForAServer(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	client := newClient(t, conn, aegis.WaitForReady())
	call := async(func() (*testv1.DoResponse, error) { return client.Do(t.Context(), doRequest("")) })
	eventually(t, "it has tried more than three times", func() bool { return conn.NATS().Stats().OutMsgs > 4 })
	pending(t, "it has given up", call)
	serve(t, conn, probe{})
	require.NoError(t, receive(t, "the call is served", call).err)
}

func TestWaitForReadyEndsAtTheDeadline(t *testing.T) {
	t.Parallel()
	client := newClient(t, connect(t))
	// The deadline may also come while an attempt is on its way.
	eventually(t, "it says why nothing came of it", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, err := client.Do(ctx, doRequest(""), aegis.WaitForReady())
		require.Error(t, err)
		return errors.Is(err, aegis.ErrNoResponders)
	})
}

// What may be sent again, and what may not, whoever is asked.
func TestRetryOnlyWhereItIsSafe(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		code       aegis.Code
		reason     string
		idempotent bool // the method
		again      bool
	}{
		"overloaded":                {aegis.CodeResourceExhausted, aegis.ReasonOverloaded, false, true},
		"stopping":                  {aegis.CodeUnavailable, aegis.ReasonStopping, false, true},
		"stale":                     {aegis.CodeUnavailable, aegis.ReasonStale, false, true},
		"unavailable":               {aegis.CodeUnavailable, "", false, false},
		"unavailable, idempotent":   {aegis.CodeUnavailable, "", true, true},
		"exhausted, idempotent":     {aegis.CodeResourceExhausted, "", true, false},
		"too large, idempotent":     {aegis.CodeResourceExhausted, aegis.ReasonTooLarge, true, false},
		"deadline, idempotent":      {aegis.CodeDeadlineExceeded, "", true, false},
		"unknown, idempotent":       {aegis.CodeUnknown, "", true, false},
		"internal, idempotent":      {aegis.CodeInternal, "", true, false},
		"aborted, idempotent":       {aegis.CodeAborted, "", true, false},
		"a reason of the future":    {aegis.CodeUnavailable, "SOMETHING", false, false},
		"overloaded and idempotent": {aegis.CodeResourceExhausted, aegis.ReasonOverloaded, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := connect(t)
			answer := func(n int, msg *natsMsg) {
				if n < 3 {
					refuseWith(msg, c.code, c.reason)
					return
				}
				answerWith(msg, &testv1.GetResponse{})
			}
			client := newClient(t, conn)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			subject := quickSubject
			call := func() error { _, err := client.Quick(ctx, quickRequest("")); return err }
			if c.idempotent {
				subject = getSubject
				call = func() error { _, err := client.Get(t.Context(), getRequest("")); return err }
			}
			requests := standInFor(t, conn, subject, answer)
			err := call()
			if !c.again {
				require.Equal(t, c.code, aegis.CodeOf(err))
				require.Equal(t, 1, requests.count())
				require.True(t, aegis.MayHaveRun(err))
				return
			}
			require.NoError(t, err)
			require.Equal(t, 3, requests.count())
			for i, msg := range requests.all() {
				want := ""
				if i > 0 {
					want = strconv.Itoa(i + 1)
				}
				require.Equal(t, want, msg.Header.Get(wire.HeaderAttempt))
				if c.idempotent {
					require.Equal(t, i > 0, msg.Header.Get(wire.HeaderTimeout) != "", "less is left than the method's own timeout")
				}
			}
		})
	}
}

// PEERS 7: timeouts were retried with no notion of idempotency.
func TestTimeoutsAreNotRetried(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	requests := standInFor(t, conn, "aegis.call.>", unanswered)
	client := newClient(t, conn)
	for range 2 {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
		_, err := client.Do(ctx, doRequest(""), aegis.MaxAttempts(100))
		require.Equal(t, aegis.CodeDeadlineExceeded, aegis.CodeOf(err))
		cancel()
	}
	require.Len(t, requests.subjects(func(s string) bool { return s == doSubject }), 2)
}

func TestAttemptsAreBounded(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	requests := standInFor(t, conn, getSubject, func(_ int, msg *natsMsg) { refuseWith(msg, aegis.CodeUnavailable, "") })
	for _, c := range []struct {
		client []aegis.ClientOption
		call   []aegis.CallOption
		want   int
	}{
		{nil, nil, 4}, // the proto's
		{nil, []aegis.CallOption{aegis.MaxAttempts(2)}, 2},
		{[]aegis.ClientOption{aegis.MaxAttempts(1)}, nil, 1},
		{[]aegis.ClientOption{aegis.MaxAttempts(1)}, []aegis.CallOption{aegis.MaxAttempts(6)}, 6},
	} {
		before := requests.count()
		_, err := newClient(t, conn, c.client...).Get(t.Context(), getRequest(""), c.call...)
		require.Equal(t, aegis.CodeUnavailable, aegis.CodeOf(err))
		require.True(t, aegis.IsWireError(err))
		require.Equal(t, c.want, requests.count()-before)
	}
}

func TestRetriesStayWithinTheDeadline(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	standInFor(t, conn, doSubject, func(_ int, msg *natsMsg) {
		refuseWith(msg, aegis.CodeResourceExhausted, aegis.ReasonOverloaded)
	})
	client := newClient(t, conn)
	// On a busy machine the refusal may come after the deadline.
	eventually(t, "it has the error at once", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 60*time.Millisecond)
		defer cancel()
		_, err := client.Do(ctx, doRequest("")) // its first pause is 80 to 120 ms
		return ctx.Err() == nil && asError(t, err).Reason() == aegis.ReasonOverloaded
	})
}

func TestCancelEndsThePauseBetweenAttempts(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	requests := standInFor(t, conn, doSubject, func(_ int, msg *natsMsg) {
		refuseWith(msg, aegis.CodeResourceExhausted, aegis.ReasonOverloaded)
	})
	client := newClient(t, conn, aegis.WithRetryBudget(1, 1000), aegis.MaxAttempts(100))
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	call := async(func() (*testv1.DoResponse, error) { return client.Do(ctx, doRequest("")) })
	eventually(t, "it tries again", func() bool { return requests.count() > 1 })
	cancel()
	err := receive(t, "the call ends", call).err
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, aegis.CodeCanceled, aegis.CodeOf(err))
}

func TestOverloadRetriesAreWithinTheBudget(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	requests := standInFor(t, conn, quickSubject, func(_ int, msg *natsMsg) {
		refuseWith(msg, aegis.CodeResourceExhausted, aegis.ReasonOverloaded)
	})
	const calls = 40
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, c := range []struct {
		ratio   float64
		min     int
		retries int
	}{{0, 0, 0}, {0, 1, 10}, {0.5, 0, calls / 2}, {100, 0, 3 * calls}} {
		before := requests.count()
		client := newClient(t, conn, aegis.WithRetryBudget(c.ratio, c.min))
		for range calls {
			_, err := client.Quick(ctx, quickRequest(""))
			require.Equal(t, aegis.ReasonOverloaded, asError(t, err).Reason())
		}
		got := requests.count() - before - calls
		require.LessOrEqual(t, got, c.retries)
		require.GreaterOrEqual(t, got, c.retries*8/10)
	}
}

// Nobody listening, and instances that stop, say nothing about load.
func TestFreeRetriesNeedNoBudget(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	requests := standInFor(t, conn, doSubject, func(n int, msg *natsMsg) {
		if n%2 == 1 {
			refuseWith(msg, aegis.CodeUnavailable, aegis.ReasonStopping)
			return
		}
		answerWith(msg, &testv1.DoResponse{})
	})
	client := newClient(t, conn, aegis.WithRetryBudget(0, 0))
	for range 5 {
		_, err := client.Do(t.Context(), doRequest(""))
		require.NoError(t, err)
	}
	require.Equal(t, 10, requests.count())
}

func TestOverloadedCallsAreServedElsewhere(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	release := make(chan struct{})
	var attempts atomic.Int64
	held := make(chan struct{})
	serveWith(t, conn, probe{do: func(context.Context, *testv1.DoRequest) (*testv1.DoResponse, error) {
		close(held)
		<-release
		return &testv1.DoResponse{}, nil
	}}, []aegis.ServiceOption{aegis.WithMaxConcurrency(1)}, aegis.WithInstance("full"))
	free := serve(t, conn, probe{quick: func(ctx context.Context, _ *testv1.QuickRequest) (*testv1.QuickResponse, error) {
		call, _ := aegis.CallFromContext(ctx)
		if call.Attempt() > 1 {
			attempts.Add(1)
		}
		return &testv1.QuickResponse{Text: call.Instance()}, nil
	}}, aegis.WithInstance("free"))
	client := newClient(t, conn, aegis.WithRetryBudget(1, 1000), aegis.MaxAttempts(20))
	hold := async(func() (*testv1.DoResponse, error) {
		return client.Do(t.Context(), doRequest(""), aegis.ToInstance("full"))
	})
	receive(t, "one instance is full", held)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for range 40 {
		res, err := client.Quick(ctx, quickRequest(""))
		require.NoError(t, err)
		require.Equal(t, free.Instance(), res.GetText())
	}
	require.Positive(t, attempts.Load(), "some were refused first")
	close(release)
	require.NoError(t, receive(t, "the held call", hold).err)
}
