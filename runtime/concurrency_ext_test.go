package aegis_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// PEERS 9: handlers ran one after the other, in the subscription's callback.
// Here each waits for the others.
func TestHandlersRunAtTheSameTime(t *testing.T) {
	t.Parallel()
	const calls = 5
	conn := connect(t)
	var inside sync.WaitGroup
	inside.Add(calls)
	serve(t, conn, probe{do: func(ctx context.Context, _ *testv1.DoRequest) (*testv1.DoResponse, error) {
		inside.Done()
		all := make(chan struct{})
		go func() { inside.Wait(); close(all) }()
		select {
		case <-all:
			return &testv1.DoResponse{}, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}})
	client := newClient(t, conn)
	var results []<-chan result[*testv1.DoResponse]
	for range calls {
		results = append(results, async(func() (*testv1.DoResponse, error) { return client.Do(t.Context(), doRequest("")) }))
	}
	for _, c := range results {
		require.NoError(t, receive(t, "a reply", c).err)
	}
}

func TestOneSlowCallHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	started, release := make(chan struct{}), make(chan struct{})
	serve(t, conn, probe{do: func(context.Context, *testv1.DoRequest) (*testv1.DoResponse, error) {
		close(started)
		<-release
		return &testv1.DoResponse{}, nil
	}})
	client := newClient(t, conn)
	ctx, cancel := context.WithTimeout(t.Context(), 10*patience) // on a busy machine the others take long
	defer cancel()
	slow := async(func() (*testv1.DoResponse, error) { return client.Do(ctx, doRequest("")) })
	receive(t, "the slow one runs", started)
	for range 1000 {
		_, err := client.Get(t.Context(), getRequest(""))
		require.NoError(t, err)
	}
	pending(t, "the slow one is over", slow)
	close(release)
	require.NoError(t, receive(t, "the slow one", slow).err)
}

// holder holds the calls of a BoundedService, and counts.
type holder struct {
	running, most, ran atomic.Int64
	release            chan struct{}
}

func (h *holder) hold(_ context.Context, req *testv1.HoldRequest) (*testv1.HoldResponse, error) {
	n := h.running.Add(1)
	defer h.running.Add(-1)
	for most := h.most.Load(); n > most; most = h.most.Load() {
		h.most.CompareAndSwap(most, n)
	}
	h.ran.Add(1)
	<-h.release
	return &testv1.HoldResponse{Number: req.GetNumber()}, nil
}

func TestBeyondTheBoundCallsAreRefusedAtOnce(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	h := &holder{release: make(chan struct{})}
	serveBounded(t, conn, h.hold, aegis.WithInstance("small"))
	client := newBoundedClient(t, conn)
	hold := func() (*testv1.HoldResponse, error) {
		return client.Hold(t.Context(), &testv1.HoldRequest{}, aegis.MaxAttempts(1))
	}
	var held []<-chan result[*testv1.HoldResponse]
	for range 4 {
		held = append(held, async(hold))
	}
	eventually(t, "four run", func() bool { return h.running.Load() == 4 })
	for range 500 {
		_, err := hold() // returns while the four are held
		require.EqualError(t, err,
			"RESOURCE_EXHAUSTED (OVERLOADED): small runs 4 calls of aegistest.v1.BoundedService at once, as many as it may")
		require.True(t, aegis.IsWireError(err))
	}
	close(h.release)
	for _, c := range held {
		require.NoError(t, receive(t, "a held call", c).err)
	}
	require.EqualValues(t, 4, h.most.Load())
	require.EqualValues(t, 4, h.ran.Load())
	_, err := hold()
	require.NoError(t, err, "there is room again")
}

// Nothing is lost without a word, and the bound holds, whatever is offered.
func TestFloodIsAnsweredToTheLastCall(t *testing.T) {
	t.Parallel()
	const callers, calls = 64, 200
	conn := connect(t)
	h := &holder{release: make(chan struct{})}
	close(h.release)
	serveBounded(t, another(t, conn), h.hold)
	client := newBoundedClient(t, conn, aegis.MaxAttempts(1))
	var ok, refused atomic.Int64
	var all sync.WaitGroup
	for caller := range callers {
		all.Go(func() {
			for i := range calls {
				number := int64(caller*calls + i)
				res, err := client.Hold(t.Context(), &testv1.HoldRequest{Number: number})
				switch {
				case err == nil && res.GetNumber() == number:
					ok.Add(1)
				case err != nil && asError(t, err).Reason() == aegis.ReasonOverloaded,
					err != nil && asError(t, err).Reason() == aegis.ReasonStale: // the machine was too busy for us
					refused.Add(1)
				default:
					t.Errorf("%v, %v", res, err)
				}
			}
		})
	}
	all.Wait()
	require.EqualValues(t, callers*calls, ok.Load()+refused.Load())
	require.Equal(t, h.ran.Load(), ok.Load(), "what was refused has not run")
	require.LessOrEqual(t, h.most.Load(), int64(4))
	require.Positive(t, ok.Load())
}

func TestRegistrationsBoundWinsOverTheProtos(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	release, running := make(chan struct{}), make(chan struct{}, 10)
	serveWith(t, conn, probe{do: func(context.Context, *testv1.DoRequest) (*testv1.DoResponse, error) {
		running <- struct{}{}
		<-release
		return &testv1.DoResponse{}, nil
	}}, []aegis.ServiceOption{aegis.WithMaxConcurrency(1)})
	client := newClient(t, conn, aegis.MaxAttempts(1))
	held := async(func() (*testv1.DoResponse, error) { return client.Do(t.Context(), doRequest("")) })
	receive(t, "one runs", running)
	_, err := client.Get(t.Context(), getRequest(""))
	require.Equal(t, aegis.ReasonOverloaded, asError(t, err).Reason(), "the bound is the service's, not the method's")
	close(release)
	require.NoError(t, receive(t, "the held one", held).err)
}

// PEERS 1: a call took two round trips, four messages.
func TestCallIsOneRequestAndOneReply(t *testing.T) {
	t.Parallel()
	const calls = 50
	conn := connect(t)
	serve(t, another(t, conn), probe{})
	client := newClient(t, conn)
	eventually(t, "the void probe is over", func() bool { return conn.NATS().Stats().InMsgs == 1 })
	spy := spyOn(t, conn)
	for range calls { // idempotent ones, which are not refused where the machine stands still for a while
		_, err := client.Get(t.Context(), getRequest(""))
		require.NoError(t, err)
	}
	eventually(t, "the spy has seen it all", func() bool { _, replies := spy.exchanged(getSubject); return replies >= calls })
	require.NoError(t, spy.nc.Flush())
	requests, replies := spy.exchanged(getSubject)
	require.Equal(t, calls, requests)
	require.Equal(t, calls, replies)
	require.Empty(t, spy.others(getSubject))
}
