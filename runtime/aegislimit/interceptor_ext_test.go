package aegislimit_test

import (
	"context"
	"errors"
	"math"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/time/rate"
	"google.golang.org/genproto/googleapis/rpc/errdetails"

	"github.com/aegisrpc/aegis/internal/leaktest"
	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegislimit"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

func TestMain(m *testing.M) { leaktest.Run(m) }

const (
	patience = 30 * time.Second
	hourly   = rate.Limit(1.0 / 3600)
)

type service struct {
	aegistestv1aegis.UnimplementedProbeServiceServer
	aegistestv1aegis.UnimplementedStreamServiceServer
	aegistestv1aegis.UnimplementedJobServiceServer
	ran *atomic.Int32
}

func (s service) Get(context.Context, *testv1.GetRequest) (*testv1.GetResponse, error) {
	s.ran.Add(1)
	return &testv1.GetResponse{}, nil
}

func (s service) Do(context.Context, *testv1.DoRequest) (*testv1.DoResponse, error) {
	s.ran.Add(1)
	return &testv1.DoResponse{}, nil
}

func (s service) Count(context.Context, *testv1.CountRequest, aegis.Sender[testv1.CountResponse]) error {
	s.ran.Add(1)
	return nil
}

func (s service) Work(context.Context, *testv1.WorkRequest) (*testv1.WorkResponse, error) {
	s.ran.Add(1)
	return &testv1.WorkResponse{}, nil
}

func limiter(t *testing.T, limit rate.Limit, burst int, opts ...aegislimit.Option) aegis.InterceptorsOption {
	t.Helper()
	in, err := aegislimit.New(limit, burst, opts...)
	require.NoError(t, err)
	return aegis.WithInterceptors(in)
}

// serve serves calls, streams, commands and events. It returns the number of handlers that have run.
func serve(t *testing.T, conn *aegis.Conn, opts ...aegis.ServerOption) *atomic.Int32 {
	t.Helper()
	s := service{ran: new(atomic.Int32)}
	aegistest.Serve(t, conn, func(srv *aegis.Server) error {
		return errors.Join(
			aegistestv1aegis.RegisterProbeServiceServer(srv, s, aegis.WithUnimplemented()),
			aegistestv1aegis.RegisterStreamServiceServer(srv, s, aegis.WithUnimplemented()),
			aegistestv1aegis.RegisterJobServiceServer(srv, s, aegis.WithUnimplemented()),
			aegistestv1aegis.SubscribeEventServiceEvents(srv, aegistestv1aegis.EventServiceEvents{
				Stored: func(context.Context, *testv1.StoredRequest) error { s.ran.Add(1); return nil },
			}, aegis.EachInstance()),
		)
	}, opts...)
	return s.ran
}

func client(t *testing.T, conn *aegis.Conn, opts ...aegis.ClientOption) aegistestv1aegis.ProbeServiceClient {
	t.Helper()
	c, err := aegistestv1aegis.NewProbeServiceClient(conn, opts...)
	require.NoError(t, err)
	return c
}

// refusedFor checks an error of what a limit refused.
func refusedFor(t *testing.T, err error, reason string) {
	t.Helper()
	e, ok := errors.AsType[*aegis.Error](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, aegis.CodeResourceExhausted, e.Code())
	require.Equal(t, reason, e.Reason())
	require.False(t, aegis.MayHaveRun(err))
	require.Len(t, e.Details(), 1)
	var info errdetails.RetryInfo
	require.NoError(t, e.Details()[0].UnmarshalTo(&info))
	require.InDelta(t, time.Hour.Seconds(), info.GetRetryDelay().AsDuration().Seconds(), 120)
}

func TestAServerRefusesWhatExceedsItsLimit(t *testing.T) {
	t.Parallel()
	conn := aegistest.Connect(t)
	ran := serve(t, conn, limiter(t, hourly, 2))
	c := client(t, conn, aegis.MaxAttempts(1))
	_, err := c.Get(t.Context(), &testv1.GetRequest{})
	require.NoError(t, err)
	_, err = c.Do(t.Context(), &testv1.DoRequest{})
	require.NoError(t, err)
	_, err = c.Get(t.Context(), &testv1.GetRequest{})
	refusedFor(t, err, aegis.ReasonOverloaded)
	require.ErrorContains(t, err, "the limit of this process is 0.0002777777777777778 a second; try again in ")
	require.EqualValues(t, 2, ran.Load())

	streams, err := aegistestv1aegis.NewStreamServiceClient(conn)
	require.NoError(t, err)
	numbers, err := streams.Count(t.Context(), &testv1.CountRequest{})
	if err == nil {
		_, err = numbers.Recv()
	}
	refusedFor(t, err, aegis.ReasonOverloaded)
	require.EqualValues(t, 2, ran.Load())
}

func TestAnotherInstanceTakesWhatOneHasNoRoomFor(t *testing.T) {
	t.Parallel()
	conn := aegistest.Connect(t)
	one := serve(t, conn, limiter(t, hourly, 1))
	other := serve(t, conn, limiter(t, hourly, 2))
	c := client(t, conn, aegis.RoundRobin())
	for range 3 {
		_, err := c.Do(t.Context(), &testv1.DoRequest{}) // which is not idempotent
		require.NoError(t, err)
	}
	require.EqualValues(t, 1, one.Load())
	require.EqualValues(t, 2, other.Load())
	_, err := c.Do(t.Context(), &testv1.DoRequest{})
	refusedFor(t, err, aegis.ReasonOverloaded)
}

func TestEachMethodHasItsOwnLimit(t *testing.T) {
	t.Parallel()
	conn := aegistest.Connect(t)
	serve(t, conn, limiter(t, hourly, 1, aegislimit.PerMethod()))
	c := client(t, conn, aegis.MaxAttempts(1))
	_, err := c.Get(t.Context(), &testv1.GetRequest{})
	require.NoError(t, err)
	_, err = c.Do(t.Context(), &testv1.DoRequest{})
	require.NoError(t, err, "another method")
	_, err = c.Get(t.Context(), &testv1.GetRequest{})
	refusedFor(t, err, aegis.ReasonOverloaded)
}

func TestEachTenantHasItsOwnLimit(t *testing.T) {
	t.Parallel()
	conn := aegistest.Connect(t)
	ran := serve(t, conn, limiter(t, hourly, 1, aegislimit.PerHeader("tenant", 2)))
	c := client(t, conn)
	get := func(tenant string) error {
		ctx, call := aegis.NewCall(t.Context())
		call.RequestHeader().Set("tenant", tenant)
		_, err := c.Get(ctx, &testv1.GetRequest{})
		return err
	}
	require.NoError(t, get("a"))
	require.NoError(t, get("b"))
	err := get("a")
	refusedFor(t, err, aegis.ReasonRefused)
	require.ErrorContains(t, err, "the limit of this caller is ")
	for i := range 5 { // more tenants than there is room for share a limit
		err := get("c" + strconv.Itoa(i))
		if i == 0 {
			require.NoError(t, err)
		} else {
			refusedFor(t, err, aegis.ReasonRefused)
		}
	}
	require.EqualValues(t, 3, ran.Load(), "nothing was tried again")
}

func TestClientsAndPublishersSendNothing(t *testing.T) {
	t.Parallel()
	conn := aegistest.Connect(t)
	ran := serve(t, conn)
	c := client(t, conn, limiter(t, hourly, 1))
	_, err := c.Get(t.Context(), &testv1.GetRequest{})
	require.NoError(t, err)
	_, err = c.Get(t.Context(), &testv1.GetRequest{})
	refusedFor(t, err, aegis.ReasonRefused)
	require.EqualValues(t, 1, ran.Load())

	streams, err := aegistestv1aegis.NewStreamServiceClient(conn, limiter(t, hourly, 1))
	require.NoError(t, err)
	_, err = streams.Count(t.Context(), &testv1.CountRequest{})
	require.NoError(t, err)
	_, err = streams.Count(t.Context(), &testv1.CountRequest{})
	refusedFor(t, err, aegis.ReasonRefused)

	pub, err := aegistestv1aegis.NewEventServicePublisher(conn, limiter(t, hourly, 1))
	require.NoError(t, err)
	_, err = pub.Stored(t.Context(), &testv1.StoredRequest{})
	require.NoError(t, err)
	_, err = pub.Stored(t.Context(), &testv1.StoredRequest{})
	refusedFor(t, err, aegis.ReasonRefused)
}

// A refusal would use up an attempt, and in the end bury the message.
func TestEventsAndCommandsWait(t *testing.T) {
	t.Parallel()
	conn := aegistest.Connect(t)
	ran := serve(t, conn, limiter(t, 50, 1))
	jobs, err := aegistestv1aegis.NewJobServiceClient(conn)
	require.NoError(t, err)
	pub, err := aegistestv1aegis.NewEventServicePublisher(conn)
	require.NoError(t, err)
	for range 5 {
		command, err := jobs.Work(t.Context(), &testv1.WorkRequest{})
		require.NoError(t, err)
		_, err = pub.Stored(t.Context(), &testv1.StoredRequest{})
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		_, err = command.Result(ctx)
		cancel()
		require.NoError(t, err)
		status, err := command.Status(t.Context())
		require.NoError(t, err)
		require.Equal(t, 1, status.Attempt)
	}
	require.Eventually(t, func() bool { return ran.Load() == 10 }, patience, time.Millisecond)
}

func TestCallsCanWait(t *testing.T) {
	t.Parallel()
	conn := aegistest.Connect(t)
	serve(t, conn)
	c := client(t, conn, limiter(t, 50, 1, aegislimit.WithWait()))
	for range 3 {
		_, err := c.Get(t.Context(), &testv1.GetRequest{})
		require.NoError(t, err)
	}
	slow := client(t, conn, limiter(t, hourly, 1, aegislimit.WithWait()))
	_, err := slow.Get(t.Context(), &testv1.GetRequest{})
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err = slow.Get(ctx, &testv1.GetRequest{})
	refusedFor(t, err, aegis.ReasonRefused) // at once, as its turn comes after the deadline

	ctx, cancel = context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	_, err = slow.Get(ctx, &testv1.GetRequest{})
	require.Equal(t, aegis.CodeCanceled, aegis.CodeOf(err))
	require.ErrorIs(t, err, context.Canceled)
	require.False(t, aegis.MayHaveRun(err))
}

func TestMistakesOfNew(t *testing.T) {
	t.Parallel()
	for _, limit := range []rate.Limit{0, -1, rate.Limit(math.NaN())} {
		_, err := aegislimit.New(limit, 1)
		require.ErrorContains(t, err, "use a limit greater than 0")
	}
	_, err := aegislimit.New(1, 0)
	require.ErrorContains(t, err, "a burst of at least 1")
	for _, o := range []aegislimit.Option{nil, aegislimit.PerKey(nil, 1), aegislimit.PerHeader("tenant", 0), aegislimit.PerHeader("tenant", 10_000_001)} {
		_, err = aegislimit.New(1, 1, o)
		require.ErrorContains(t, err, "aegislimit: ")
	}
	_, err = aegislimit.New(1, 1, aegislimit.PerHeader("a", 1), aegislimit.PerHeader("b", 1))
	require.ErrorContains(t, err, "two keys")
}
