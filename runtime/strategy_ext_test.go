package aegis_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
	"github.com/aegisrpc/aegis/runtime/selection"
)

// startMany serves as many instances of ProbeService, and returns when client
// knows them all.
func startMany(t *testing.T, conn, client *aegis.Conn, n int, opts ...aegis.ServerOption) []string {
	t.Helper()
	var names, states []string
	for i := range n {
		name := fmt.Sprintf("i%02d", i)
		serve(t, conn, probe{}, append(opts, aegis.WithInstance(name))...)
		names, states = append(names, name), append(states, name+" RUNNING")
	}
	shows(t, client, probeName, states...)
	return names
}

// tally counts who served.
type tally struct {
	mu     sync.Mutex
	counts map[string]int
}

func (c *tally) add(instance string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counts == nil {
		c.counts = map[string]int{}
	}
	c.counts[instance]++
}

func (c *tally) most() int  { return slices.Max(slices.Collect(maps.Values(c.counts))) }
func (c *tally) least() int { return slices.Min(slices.Collect(maps.Values(c.counts))) }

// callMany calls from several goroutines, and counts who served.
func callMany(t *testing.T, callers, calls int, do doCall) *tally {
	t.Helper()
	var c tally
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			for range calls / callers {
				res, err := untilHeard(t, do)
				if err != nil {
					t.Error(err)
					return
				}
				c.add(res.GetInstanceName())
			}
		})
	}
	all.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return &c
}

// untilHeard makes a call, and makes it again if its instance was lost: a busy machine holds
// up heartbeats that come five times a second.
func untilHeard(t *testing.T, do doCall) (res *testv1.DoResponse, err error) {
	t.Helper()
	for start := time.Now(); time.Since(start) < patience; {
		res, err = do(t.Context(), doRequest(""))
		if err == nil || asError(t, err).Reason() != aegis.ReasonInstanceLost {
			break
		}
	}
	return res, err
}

// doCall is a call of Do, with what options ever.
type doCall func(context.Context, *testv1.DoRequest) (*testv1.DoResponse, error)

func doBy(client aegistestv1aegis.ProbeServiceClient, opts ...aegis.CallOption) doCall {
	return func(ctx context.Context, req *testv1.DoRequest) (*testv1.DoResponse, error) {
		return client.Do(ctx, req, opts...)
	}
}

func TestRoundRobinIsExactForAllClientsOfAConnection(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	caller := another(t, conn)
	names := startMany(t, conn, caller, 5)
	byClient := newClient(t, caller, aegis.RoundRobin())
	byCall := newClient(t, caller)
	var n atomic.Int64
	c := callMany(t, 8, 16*33, func(ctx context.Context, req *testv1.DoRequest) (*testv1.DoResponse, error) {
		if n.Add(1)%2 == 0 {
			return byClient.Do(ctx, req)
		}
		return byCall.Do(ctx, req, aegis.RoundRobin())
	})
	require.Len(t, c.counts, len(names))
	require.LessOrEqual(t, c.most()-c.least(), 1, c.counts)
}

func TestRandomReachesEverybody(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	caller := another(t, conn)
	startMany(t, conn, caller, 3)
	c := callMany(t, 4, 600, doBy(newClient(t, caller, aegis.Random())))
	require.Len(t, c.counts, 3)
	require.Greater(t, c.least(), 100, "200 each, give or take: %v", c.counts)
}

func TestLeastLoadedIsFairToEquals(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	caller := another(t, conn)
	fast := aegis.WithHeartbeat(quickBeat)
	startMany(t, conn, caller, 16, fast)
	do := doBy(newClient(t, caller, aegis.LeastLoaded()))
	fair := func(instances int) {
		c := callMany(t, 16, 4800, do)
		require.LessOrEqual(t, float64(c.most()), 1.5*4800/float64(instances), c.counts)
	}
	fair(16)
	serve(t, conn, probe{}, fast, aegis.WithInstance("newcomer"))
	eventually(t, "the newcomer is known", func() bool {
		instances, err := caller.Instances(t.Context(), probeName)
		return err == nil && len(instances) == 17 && instances[16].State == aegis.StateRunning
	})
	for range 3 {
		fair(17)
	}
}

// PEERS 14: everybody hears at once that one instance idles, and not everybody
// goes there.
func TestLeastLoadedDoesNotSendEverybodyToOneInstance(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	makeBucket(t, conn)
	const instances, clients, calls = 8, 10, 100
	for i := range instances {
		s := standInstance{name: fmt.Sprintf("i%d", i), load: `{"in_flight":500,"latency":50000000}`}
		if i == 3 {
			s.load = `{"in_flight":0,"latency":1000}`
		}
		s.start(t, conn)
	}
	var all tally
	for range clients {
		caller := another(t, conn)
		client := newClient(t, caller, aegis.LeastLoaded())
		eventually(t, "all are heard, with their loads", func() bool {
			known, err := caller.Instances(t.Context(), probeName)
			return err == nil && len(known) == instances
		})
		for range calls {
			res, err := untilHeard(t, doBy(client))
			require.NoError(t, err)
			all.add(res.GetInstanceName())
		}
	}
	mean := clients * calls / instances
	require.Less(t, all.counts["i3"], 5*mean/2, all.counts)
	require.Greater(t, all.counts["i3"], 3*mean/2, all.counts)
}

func TestTheQueueGroupNeedsNoView(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	serve(t, conn, probe{}, aegis.WithInstance("a"))
	serveAccounts(t, conn, "a")
	caller := another(t, conn)
	client := newClient(t, caller, aegis.QueueGroup())
	newClient(t, caller, aegis.RoundRobin())
	before := caller.NATS().NumSubscriptions()
	spy := spyOn(t, conn)
	_, err := client.Do(t.Context(), doRequest(""))
	require.NoError(t, err)
	touch(t, newAccounts(t, caller, aegis.QueueGroup()), "k")
	touch(t, newAccounts(t, caller), "k", aegis.QueueGroup())
	require.Equal(t, before, caller.NATS().NumSubscriptions(), "nothing is watched")
	require.Empty(t, spy.subjects(func(s string) bool { return strings.HasPrefix(s, "aegis.inst.a.") }))
	_, err = client.Do(t.Context(), doRequest(""), aegis.RoundRobin())
	require.NoError(t, err)
	require.Greater(t, caller.NATS().NumSubscriptions(), before)
}

// ownStrategy always picks the last one, and counts what it hears.
type ownStrategy struct {
	keys              chan string
	started, finished atomic.Int64
}

func (o *ownStrategy) Pick(view *selection.View, call selection.Call) int {
	o.keys <- call.Key
	return view.Len() - 1
}
func (o *ownStrategy) Started(*selection.Instance)                     { o.started.Add(1) }
func (o *ownStrategy) Finished(*selection.Instance, selection.Outcome) { o.finished.Add(1) }

func TestAUsersOwnStrategy(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	caller := another(t, conn)
	names := startMany(t, conn, caller, 3)
	own := &ownStrategy{keys: make(chan string, 100)}
	c := callMany(t, 1, 10, doBy(newClient(t, caller, aegis.SelectBy(own))))
	require.Equal(t, map[string]int{names[2]: 10}, c.counts)
	require.Equal(t, int64(10), own.started.Load())
	require.Equal(t, int64(10), own.finished.Load())

	own.keys = make(chan string, 100)
	client := newClient(t, caller)
	for _, opts := range [][]aegis.CallOption{
		{aegis.SelectBy(own)},
		{aegis.StickyKey("k"), aegis.SelectBy(own)},
		{aegis.SelectBy(own), aegis.StickyKey("k")},
	} {
		_, err := client.Do(t.Context(), doRequest(""), opts...)
		require.NoError(t, err)
	}
	require.Empty(t, <-own.keys)
	require.Equal(t, "k", <-own.keys)
	require.Equal(t, "k", <-own.keys)
	serveAccounts(t, conn, "a")
	touch(t, newAccounts(t, caller), "of the field", aegis.SelectBy(own))
	require.Equal(t, "of the field", <-own.keys)
}

func TestAStrategyThatFailsIsAClearError(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	var log logs
	caller := another(t, conn, log.option())
	startMany(t, conn, caller, 2)
	client := newClient(t, caller)
	pick := func(f selection.StrategyFunc) *aegis.Error {
		_, err := client.Do(t.Context(), doRequest(""), aegis.SelectBy(f))
		return asError(t, err)
	}
	declined := pick(func(*selection.View, selection.Call) int { return selection.None })
	require.Equal(t, aegis.CodeUnavailable, declined.Code())
	require.ErrorIs(t, declined, selection.ErrDeclined)
	require.Contains(t, declined.Message(), "none of the 2 instances of "+probeName)
	beyond := pick(func(*selection.View, selection.Call) int { return 17 })
	require.Equal(t, aegis.CodeInternal, beyond.Code())
	require.Contains(t, beyond.Message(), "picked 17 of 2")
	for range 5 {
		panicked := pick(func(*selection.View, selection.Call) int { panic("no idea") })
		require.Equal(t, aegis.CodeInternal, panicked.Code())
		require.ErrorIs(t, panicked, selection.ErrStrategy)
		require.Contains(t, panicked.Message(), "no idea")
	}
	require.Equal(t, 1, log.count("a strategy panicked"), "a flood is logged once")
	require.Contains(t, log.String(), "strategy_ext_test.go", "with its stack")
	var missing *ownStrategy
	_, err := client.Do(t.Context(), doRequest(""), aegis.SelectBy(missing))
	require.Equal(t, aegis.CodeInternal, aegis.CodeOf(err), "a nil that is no nil interface")
	_, err = client.Do(t.Context(), doRequest(""), aegis.SelectBy(nil))
	require.ErrorIs(t, err, aegis.ErrInvalidOption)
	_, err = client.Do(t.Context(), doRequest(""), aegis.RoundRobin())
	require.NoError(t, err, "the client goes on")
}

func TestWhatACallSelectsWinsOverItsClient(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	names := startMany(t, conn, conn, 3)
	to := func(opts ...aegis.CallOption) map[string]int {
		return callMany(t, 1, 9, doBy(newClient(t, conn, aegis.ToInstance(names[1])), opts...)).counts
	}
	require.Equal(t, map[string]int{names[1]: 9}, to())
	require.Len(t, to(aegis.RoundRobin()), 3)
	require.Equal(t, map[string]int{names[2]: 9}, to(aegis.ToInstance(names[2])))
}

// A single active method has but one instance that may handle it.
func TestSelectingTheInstanceOfASingleActiveCallIsAnError(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	stand(t, n, &desk{name: "a"})
	client := newOrders(t, n.Connect(t), aegis.RoundRobin())
	res, err := place(t, client)
	require.NoError(t, err, "the client's default is for its other methods")
	require.Equal(t, "a", res.GetInstance())
	for _, o := range []aegis.CallOption{
		aegis.QueueGroup(), aegis.RoundRobin(), aegis.Random(), aegis.LeastLoaded(), aegis.StickyKey("k"), aegis.SelectBy(selection.Random()),
	} {
		_, err = place(t, client, o)
		require.Equal(t, aegis.CodeInvalidArgument, aegis.CodeOf(err))
		require.ErrorContains(t, err, "PlaceOrder is single active")
	}
}

// Without JetStream the view is ready when everybody has been heard.
func TestTheFirstPickWaitsUntilTheInstancesAreKnown(t *testing.T) {
	t.Parallel()
	nats := startRestartable(t)
	serve(t, connectTo(t, nats.url), probe{}, aegis.WithInstance("a"))
	client := newClient(t, connectTo(t, nats.url), aegis.LeastLoaded())
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := client.Do(ctx, doRequest(""))
	require.Equal(t, aegis.CodeDeadlineExceeded, aegis.CodeOf(err))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, "nothing was sent to "+probeName)
	ctx, cancel = context.WithCancel(t.Context())
	cancel()
	_, err = client.Do(ctx, doRequest(""))
	require.Equal(t, aegis.CodeCanceled, aegis.CodeOf(err))
	res, err := client.Do(t.Context(), doRequest(""))
	require.NoError(t, err)
	require.Equal(t, "a", res.GetInstanceName())
}

func TestInstancesThatStayUnknownAreAClearError(t *testing.T) {
	t.Parallel()
	nats := startForgetful(t)
	caller := connectTo(t, nats.url)
	client := newClient(t, caller, aegis.RoundRobin())
	nats.Stop()
	eventually(t, "the client notices", func() bool { return !caller.NATS().IsConnected() })
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	waiting := async(func() (*testv1.DoResponse, error) { return client.Do(ctx, doRequest(""), aegis.WaitForReady()) })
	_, err := client.Do(ctx, doRequest(""))
	require.Equal(t, aegis.CodeUnavailable, aegis.CodeOf(err), "long before the deadline")
	require.ErrorContains(t, err, "the instances are not known after 5s: nats: server is disconnected")
	nats.up()
	serve(t, connectTo(t, nats.url), probe{}, aegis.WithInstance("a"))
	require.NoError(t, receive(t, "the one that waits", waiting).err)
}

func TestNobodyToPickIsNoResponders(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	makeBucket(t, conn)
	caller := another(t, conn)
	client := newClient(t, caller, aegis.RoundRobin())
	_, err := client.Do(t.Context(), doRequest(""))
	require.ErrorIs(t, err, aegis.ErrNoResponders)
	require.ErrorContains(t, err, "of the 0 known of "+probeName)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	waiting := async(func() (*testv1.DoResponse, error) { return client.Do(ctx, doRequest(""), aegis.WaitForReady()) })
	serve(t, conn, probe{}, aegis.WithInstance("a"))
	require.NoError(t, receive(t, "the one that waits", waiting).err)
}

func TestACallOnAClosedConnectionByStrategy(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	conn, err := aegis.Connect(t.Context(), n.URL(), silent())
	require.NoError(t, err)
	client := newClient(t, conn, aegis.RoundRobin())
	require.NoError(t, conn.Close(t.Context()))
	_, err = client.Do(t.Context(), doRequest(""))
	require.ErrorIs(t, err, aegis.ErrConnClosed)
}

// One of four takes longer than the rest, and is given next to nothing.
func TestLeastLoadedAvoidsASlowInstance(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	caller := another(t, conn)
	startMany(t, conn, caller, 3)
	slow := probe{do: func(ctx context.Context, _ *testv1.DoRequest) (*testv1.DoResponse, error) {
		<-time.After(50 * time.Millisecond)
		return &testv1.DoResponse{InstanceName: instanceOf(ctx)}, nil
	}}
	serve(t, another(t, conn), slow, aegis.WithInstance("slow"))
	eventually(t, "all are known", func() bool {
		instances, err := caller.Instances(t.Context(), probeName)
		return err == nil && len(instances) == 4 && instances[3].State == aegis.StateRunning
	})
	do := doBy(newClient(t, caller, aegis.LeastLoaded()))
	callMany(t, 8, 400, do) // they get to know it
	c := callMany(t, 8, 2000, do)
	require.Less(t, c.counts["slow"], 2000/4/2, "half of an equal share: %v", c.counts)
}
