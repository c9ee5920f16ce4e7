package aegistest_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

func publisher(t *testing.T, conn *aegis.Conn) aegistestv1aegis.EventServicePublisher {
	t.Helper()
	pub, err := aegistestv1aegis.NewEventServicePublisher(conn)
	require.NoError(t, err)
	return pub
}

func subscribe(t *testing.T, conn *aegis.Conn, h aegistestv1aegis.EventServiceEvents, opts ...aegis.SubscribeOption) {
	t.Helper()
	aegistest.Serve(t, conn, func(srv *aegis.Server) error {
		return aegistestv1aegis.SubscribeEventServiceEvents(srv, h, opts...)
	})
}

func TestACoreEventReachesOneOfAGroupAndEachInstance(t *testing.T) {
	t.Parallel()
	for name, connect := range worlds() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := connect(t)
			got := make(chan string, 10)
			handler := func(name string) aegistestv1aegis.EventServiceEvents {
				return aegistestv1aegis.EventServiceEvents{
					Core: func(ctx context.Context, ev *testv1.CoreRequest) error {
						call, _ := aegis.CallFromContext(ctx)
						_, durable := aegis.DeliveryFromContext(ctx)
						got <- fmt.Sprint(name, ":", ev.GetText(), ":", call.RequestHeader().Get("who"), ":", durable)
						return errors.New("is not tried again")
					},
				}
			}
			subscribe(t, conn, handler("group"), aegis.Compete("g"))
			subscribe(t, conn, handler("group"), aegis.Compete("g"))
			subscribe(t, conn, handler("each"), aegis.EachInstance())
			ctx, call := aegis.NewCall(deadline(t))
			call.RequestHeader().Set("who", "me")
			require.NoError(t, publisher(t, conn).Core(ctx, &testv1.CoreRequest{Text: "x"}))
			assert.ElementsMatch(t, []string{"group:x:me:false", "each:x:me:false"}, []string{<-got, <-got})
			require.NoError(t, publisher(t, conn).Core(ctx, &testv1.CoreRequest{Text: "y"}))
			assert.ElementsMatch(t, []string{"group:y:me:false", "each:y:me:false"}, []string{<-got, <-got})
		})
	}
}

func TestADurableEventIsTriedAgainAndStoredOnce(t *testing.T) {
	t.Parallel()
	for name, connect := range worlds() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := connect(t)
			got := make(chan string, 10)
			pub := publisher(t, conn)
			before, err := pub.Stored(deadline(t), &testv1.StoredRequest{Text: "before"})
			require.NoError(t, err)
			subscribe(t, conn, aegistestv1aegis.EventServiceEvents{
				Stored: func(ctx context.Context, ev *testv1.StoredRequest) error {
					d, ok := aegis.DeliveryFromContext(ctx)
					got <- fmt.Sprintf("%s %t%d %d", ev.GetText(), ok, d.Attempt, d.Sequence-before.Sequence)
					if d.Attempt < 2 {
						return errors.New("again")
					}
					return nil
				},
			}, aegis.StartFrom(aegis.StartAll()))
			ack, err := pub.Stored(deadline(t), &testv1.StoredRequest{Text: "new"}, aegis.MessageID("1"))
			require.NoError(t, err)
			again, err := pub.Stored(deadline(t), &testv1.StoredRequest{Text: "new"}, aegis.MessageID("1"))
			require.NoError(t, err)
			assert.Equal(t, ack.Sequence, again.Sequence)
			assert.Equal(t, ack.Stream, again.Stream)
			assert.True(t, again.Duplicate)
			future, err := pub.StoredAsync(deadline(t), &testv1.StoredRequest{Text: "async"})
			require.NoError(t, err)
			_, err = future.Ack(deadline(t))
			require.NoError(t, err)
			var all []string
			for range 6 {
				all = append(all, <-got)
			}
			assert.ElementsMatch(t, []string{"before true1 0", "before true2 0", "new true1 1", "new true2 1", "async true1 2", "async true2 2"}, all)
		})
	}
}

func TestTheOrderOfAKeyHoldsThoughAHandlerFails(t *testing.T) {
	t.Parallel()
	for name, connect := range worlds() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := connect(t)
			var mu sync.Mutex
			seen := map[string][]int64{}
			done := make(chan struct{}, 100)
			for range 2 {
				subscribe(t, conn, aegistestv1aegis.EventServiceEvents{
					Keyed: func(ctx context.Context, ev *testv1.KeyedRequest) error {
						if d, _ := aegis.DeliveryFromContext(ctx); d.Attempt == 1 && ev.GetNumber()%3 == 0 {
							return errors.New("fails at first")
						}
						mu.Lock()
						defer mu.Unlock()
						seen[ev.GetKey()] = append(seen[ev.GetKey()], ev.GetNumber())
						done <- struct{}{}
						return nil
					},
				}, aegis.Compete("g"), aegis.StartFrom(aegis.StartAll()))
			}
			pub := publisher(t, conn)
			want := map[string][]int64{}
			for i := range int64(20) {
				key := string(rune('a' + i%3))
				_, err := pub.Keyed(deadline(t), &testv1.KeyedRequest{Key: key, Number: i})
				require.NoError(t, err)
				want[key] = append(want[key], i)
			}
			for range 20 {
				<-done
			}
			mu.Lock()
			defer mu.Unlock()
			assert.Equal(t, want, seen)
		})
	}
}

type jobs struct {
	aegistestv1aegis.UnimplementedJobServiceServer

	work func(ctx context.Context, job *aegis.Job, text string) (*testv1.WorkResponse, error)
}

func (j jobs) Work(ctx context.Context, req *testv1.WorkRequest) (*testv1.WorkResponse, error) {
	job, ok := aegis.JobFromContext(ctx)
	if !ok {
		return nil, aegis.Permanent(errors.New("no job"))
	}
	return j.work(ctx, job, req.GetText())
}

func TestACommandIsTriedAgainReportsAndHasOneResult(t *testing.T) {
	t.Parallel()
	for name, connect := range worlds() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := connect(t)
			client, err := aegistestv1aegis.NewJobServiceClient(conn)
			require.NoError(t, err)
			early, err := client.Work(deadline(t), &testv1.WorkRequest{Text: "early"}, aegis.DedupeKey("k"))
			require.NoError(t, err)
			s, err := early.Status(deadline(t))
			require.NoError(t, err)
			assert.Equal(t, aegis.CommandQueued, s.State)
			serveJobs(t, conn, jobs{work: func(ctx context.Context, job *aegis.Job, text string) (*testv1.WorkResponse, error) {
				if err := job.Report(ctx, aegis.Progress{Percent: 50, Message: text}); err != nil {
					return nil, err
				}
				switch {
				case text == "dead":
					return nil, aegis.Permanent(aegis.NewError(aegis.CodeNotFound, "no such file"))
				case text == "bad" || job.Attempt < 2:
					return nil, errors.New("again")
				}
				return &testv1.WorkResponse{Text: fmt.Sprintf("%s %d %t", text, job.Attempt, job.ID == early.ID())}, nil
			}})
			again, err := client.Work(deadline(t), &testv1.WorkRequest{Text: "other"}, aegis.DedupeKey("k"))
			require.NoError(t, err)
			assert.Equal(t, early.ID(), again.ID())
			var last aegis.Progress
			for p, err := range aegistestv1aegis.JobServiceWorkCommand(conn, early.ID()).Progress(deadline(t)) {
				require.NoError(t, err)
				last = *p
			}
			assert.Equal(t, aegis.Progress{Percent: 50, Message: "early"}, last)
			res, err := early.Result(deadline(t))
			require.NoError(t, err)
			assert.Equal(t, "early 2 true", res.GetText())
			s, err = again.Status(deadline(t))
			require.NoError(t, err)
			assert.Equal(t, aegis.CommandStatus{State: aegis.CommandSucceeded, Attempt: 2, Progress: &last}, *s)
			assert.Equal(t, aegis.CodeFailedPrecondition, aegis.CodeOf(early.Cancel(deadline(t))))

			for text, want := range map[string]string{"dead": "NOT_FOUND: no such file", "bad": "UNKNOWN: again"} {
				cmd, err := client.Work(deadline(t), &testv1.WorkRequest{Text: text})
				require.NoError(t, err)
				_, err = cmd.Result(deadline(t))
				require.EqualError(t, err, want)
				assert.True(t, aegis.IsWireError(err))
				s, err := cmd.Status(deadline(t))
				require.NoError(t, err)
				assert.Equal(t, aegis.CommandFailed, s.State)
			}
			s, err = aegistestv1aegis.JobServiceWorkCommand(conn, "memory.999").Status(deadline(t))
			require.NoError(t, err)
			assert.Equal(t, aegis.CommandUnknown, s.State)
		})
	}
}

func serveJobs(t *testing.T, conn *aegis.Conn, impl jobs) {
	t.Helper()
	aegistest.Serve(t, conn, func(srv *aegis.Server) error { return aegistestv1aegis.RegisterJobServiceServer(srv, impl) })
}

func TestACommandIsCanceledOrExpires(t *testing.T) {
	t.Parallel()
	for name, connect := range worlds() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := connect(t)
			client, err := aegistestv1aegis.NewJobServiceClient(conn)
			require.NoError(t, err)
			begun := make(chan struct{})
			waiting, err := client.Work(deadline(t), &testv1.WorkRequest{Text: "waiting"}, aegis.NotBefore(time.Now().Add(time.Hour)))
			require.NoError(t, err)
			s, err := waiting.Status(deadline(t))
			require.NoError(t, err)
			assert.Equal(t, aegis.CommandScheduled, s.State)
			expiring, err := client.Work(deadline(t), &testv1.WorkRequest{Text: "expiring"}, aegis.Expiry(time.Now().Add(-time.Second)))
			require.NoError(t, err)
			serveJobs(t, conn, jobs{work: func(ctx context.Context, job *aegis.Job, _ string) (*testv1.WorkResponse, error) {
				_ = job.Report(ctx, aegis.Progress{Percent: 1})
				close(begun)
				<-ctx.Done()
				return nil, ctx.Err()
			}})
			running, err := client.Work(deadline(t), &testv1.WorkRequest{Text: "running"})
			require.NoError(t, err)
			<-begun
			require.NoError(t, running.Cancel(deadline(t)))
			_, err = running.Result(deadline(t))
			assert.Equal(t, aegis.CodeCanceled, aegis.CodeOf(err))
			require.NoError(t, waiting.Cancel(deadline(t)))
			_, err = waiting.Result(deadline(t))
			assert.Equal(t, aegis.CodeCanceled, aegis.CodeOf(err))
			_, err = expiring.Result(deadline(t))
			e, ok := errors.AsType[*aegis.Error](err)
			require.True(t, ok)
			assert.Equal(t, aegis.CodeDeadlineExceeded, e.Code())
			assert.Equal(t, "EXPIRED", e.Reason())
		})
	}
}
