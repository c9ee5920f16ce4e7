package aegis_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/health"
	"github.com/aegisrpc/aegis/runtime/selection"
)

// standInstance is an instance of ProbeService that is made by hand: what it
// says in its heartbeats and answers to calls is up to the test.
type standInstance struct {
	name    string
	methods string // of its record, in JSON; "" for none
	load    string // of its heartbeats, in JSON; "" for none
	answer  func(method string, msg *nats.Msg)

	mu    sync.Mutex
	calls map[string]int // by method
}

// start runs it until the test ends.
func (s *standInstance) start(t *testing.T, conn *aegis.Conn) *standInstance {
	t.Helper()
	s.calls = map[string]int{}
	nc := plain(t, conn)
	_, err := nc.Subscribe("aegis.inst."+s.name+"."+probeName+".*", s.called)
	require.NoError(t, err)
	stop, stopped := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(stop); <-stopped })
	go func() {
		defer close(stopped)
		ticker := time.NewTicker(quickBeat)
		defer ticker.Stop()
		for {
			_ = nc.Publish("aegis.beat."+probeName+"."+s.name, []byte(s.beat()))
			select {
			case <-ticker.C:
			case <-stop:
				return
			}
		}
	}()
	return s
}

func (s *standInstance) called(msg *nats.Msg) {
	method := msg.Subject[strings.LastIndexByte(msg.Subject, '.')+1:]
	s.mu.Lock()
	s.calls[method]++
	answer := s.answer
	s.mu.Unlock()
	if answer == nil {
		answerWith(msg, &testv1.DoResponse{InstanceName: s.name})
		return
	}
	answer(method, msg)
}

func (s *standInstance) got(method string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[method]
}

func (s *standInstance) beat() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	part := func(name, value string) string {
		if value == "" {
			return ""
		}
		return fmt.Sprintf(`,%q:%s`, name, value)
	}
	return fmt.Sprintf(`{"record":{"v":1,"service":%q,"instance":%q,"process":"P%s","incarnation":1,"change":1,"state":"RUNNING",`+
		`"started":"2026-11-23T10:00:00Z","heartbeat_ms":%d%s}%s}`,
		probeName, s.name, s.name, quickBeat.Milliseconds(), part("methods", s.methods), part("load", s.load))
}

func TestAnUnhealthyInstanceGetsNoCalls(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	var ill atomic.Bool
	ill.Store(true)
	check := aegis.WithCheck("db", health.Needs(func(context.Context) error {
		if ill.Load() {
			return errWrong
		}
		return nil
	}))
	serve(t, conn, probe{}, aegis.WithInstance("sick"), aegis.WithHeartbeat(quickBeat), check)
	serve(t, conn, probe{}, aegis.WithInstance("well"))
	caller := another(t, conn)
	client := newClient(t, caller, aegis.RoundRobin())
	shows(t, caller, probeName, "sick RUNNING", "well RUNNING")
	require.Equal(t, map[string]int{"well": 20}, callMany(t, 4, 20, doBy(client)).counts)
	ill.Store(false)
	eventually(t, "it gets calls again", func() bool { return callMany(t, 1, 2, doBy(client)).counts["sick"] == 1 })
	ill.Store(true)
	eventually(t, "and no more", func() bool { return callMany(t, 1, 2, doBy(client)).counts["sick"] == 0 })
	require.Equal(t, map[string]int{"well": 20}, callMany(t, 4, 20, doBy(client)).counts)
}

// A rolling update: an instance of an older version lacks Get.
func TestAnOlderVersionGetsNoCallsOfAMethodThatItLacks(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	old := (&standInstance{name: "a-old", methods: `["Do"]`}).start(t, conn)
	caller := another(t, conn)
	var served tally
	get := func(n string) probe {
		return probe{get: getBy(&served, n)}
	}
	serve(t, conn, get("b-new"), aegis.WithInstance("b-new"))
	serve(t, conn, get("c-new"), aegis.WithInstance("c-new"))
	shows(t, caller, probeName, "a-old RUNNING", "b-new RUNNING", "c-new RUNNING")
	client := newClient(t, caller, aegis.RoundRobin())
	for range 30 {
		_, err := client.Get(t.Context(), getRequest(""))
		require.NoError(t, err)
	}
	require.Zero(t, old.got("Get"))
	require.Equal(t, map[string]int{"b-new": 15, "c-new": 15}, served.counts, "the others share them evenly")
	require.Len(t, callMany(t, 1, 30, doBy(client)).counts, 3, "it gets the calls that it can handle")
}

// One that does not say which methods it has answers NO_METHOD.
func TestACallMovesOnFromAnInstanceWithoutTheMethod(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	foreign := &standInstance{name: "foreign", answer: func(_ string, msg *nats.Msg) {
		refuseWith(msg, aegis.CodeUnimplemented, aegis.ReasonNoMethod)
	}}
	foreign.start(t, conn)
	caller := another(t, conn)
	serve(t, conn, probe{}, aegis.WithInstance("own"))
	shows(t, caller, probeName, "foreign RUNNING", "own RUNNING")
	c := callMany(t, 1, 20, doBy(newClient(t, caller, aegis.RoundRobin(), aegis.MaxAttempts(1))))
	require.Equal(t, map[string]int{"own": 20}, c.counts)
	require.Equal(t, 10, foreign.got("Do"))

	foreign.mu.Lock()
	foreign.answer = func(_ string, msg *nats.Msg) { refuseWith(msg, aegis.CodeUnimplemented, "") }
	foreign.mu.Unlock()
	client := newClient(t, caller, aegis.RoundRobin())
	failed := 0
	for range 10 {
		if _, err := client.Do(t.Context(), doRequest("")); aegis.CodeOf(err) == aegis.CodeUnimplemented {
			failed++
		}
	}
	require.Equal(t, 5, failed, "a handler's own word is the answer")
}

func TestARefusedCallMovesOnAtOnce(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		reason string
		code   aegis.Code
		again  bool // the instance is asked by the next call again
	}{
		{aegis.ReasonStopping, aegis.CodeUnavailable, false},
		{aegis.ReasonStale, aegis.CodeUnavailable, true},
		{aegis.ReasonOverloaded, aegis.CodeResourceExhausted, true},
	} {
		t.Run(c.reason, func(t *testing.T) {
			t.Parallel()
			conn := connect(t)
			refusing := (&standInstance{name: "refusing", answer: func(_ string, msg *nats.Msg) {
				refuseWith(msg, c.code, c.reason)
			}}).start(t, conn)
			caller := another(t, conn)
			serve(t, conn, probe{}, aegis.WithInstance("own"))
			shows(t, caller, probeName, "own RUNNING", "refusing RUNNING")
			client := newClient(t, caller, aegis.RoundRobin(), aegis.WithRetryBudget(1, 100))
			require.Equal(t, map[string]int{"own": 20}, callMany(t, 1, 20, doBy(client)).counts)
			if c.again {
				require.Equal(t, 10, refusing.got("Do"))
			} else {
				require.Equal(t, 1, refusing.got("Do"))
			}
		})
	}
}

// The budget bounds what overload makes clients send.
func TestOverloadEverywhereIsBounded(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	makeBucket(t, conn)
	overloaded := func(_ string, msg *nats.Msg) {
		refuseWith(msg, aegis.CodeResourceExhausted, aegis.ReasonOverloaded)
	}
	var all []*standInstance
	for i := range 5 {
		all = append(all, (&standInstance{name: fmt.Sprintf("i%d", i), answer: overloaded}).start(t, conn))
	}
	caller := another(t, conn)
	shows(t, caller, probeName, "i0 RUNNING", "i1 RUNNING", "i2 RUNNING", "i3 RUNNING", "i4 RUNNING")
	client := newClient(t, caller, aegis.RoundRobin(), aegis.WithRetryBudget(0, 1))
	for range 50 {
		_, err := client.Do(t.Context(), doRequest(""))
		require.Equal(t, aegis.ReasonOverloaded, asError(t, err).Reason())
	}
	sent := 0
	for _, s := range all {
		sent += s.got("Do")
	}
	require.Equal(t, 60, sent, "50 calls, and one retry a second, counted over ten")
}

// held is a probe whose calls of Do with a text wait until they are let go.
type held struct {
	running chan string
	letGo   chan struct{}
}

func (h *held) wait(ctx context.Context, text string) {
	if text != "hold" {
		return
	}
	h.running <- text
	select {
	case <-h.letGo:
	case <-ctx.Done():
	}
}

func (h *held) probe() probe {
	return probe{
		do: func(ctx context.Context, req *testv1.DoRequest) (*testv1.DoResponse, error) {
			h.wait(ctx, req.GetText())
			return &testv1.DoResponse{InstanceName: instanceOf(ctx)}, ctx.Err()
		},
		get: func(ctx context.Context, req *testv1.GetRequest) (*testv1.GetResponse, error) {
			h.wait(ctx, req.GetText())
			return &testv1.GetResponse{}, ctx.Err()
		},
	}
}

// deadlineIn returns a context that ends in that time.
func deadlineIn(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// getBy counts the calls of Get under a name.
func getBy(c *tally, name string) getFunc {
	return func(context.Context, *testv1.GetRequest) (*testv1.GetResponse, error) {
		c.add(name)
		return &testv1.GetResponse{}, nil
	}
}

func newHeld() *held { return &held{running: make(chan string, 1000), letGo: make(chan struct{})} }

func TestAStoppingInstanceGetsNoNewCallsAndFinishesItsOwn(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	caller := another(t, conn)
	h := newHeld()
	stopping := run(t, another(t, conn), h.probe(), aegis.WithInstance("a"))
	serve(t, conn, probe{}, aegis.WithInstance("b"))
	shows(t, caller, probeName, "a RUNNING", "b RUNNING")
	client := newClient(t, caller, aegis.RoundRobin())
	var calls []<-chan result[*testv1.DoResponse]
	for range 150 {
		calls = append(calls, async(func() (*testv1.DoResponse, error) { return client.Do(t.Context(), doRequest("hold")) }))
		calls = append(calls, async(func() (*testv1.DoResponse, error) {
			return client.Do(t.Context(), doRequest("hold"), aegis.ToInstance("a"))
		}))
	}
	for range 225 {
		receive(t, "it runs", h.running)
	}
	stopping.stop()
	shows(t, caller, probeName, "a STOPPING", "b RUNNING")
	c := callMany(t, 4, 100, doBy(client))
	require.Equal(t, map[string]int{"b": 100}, c.counts)
	close(h.letGo) // and then it leaves at once: the last replies and its goodbye come together
	for _, call := range calls {
		require.NoError(t, receive(t, "a reply", call).err)
	}
	require.NoError(t, receive(t, "Run returns", stopping.done))
	shows(t, caller, probeName, "b RUNNING")
}

// lose starts calls that hang in an instance, ends it, and returns their errors.
func lostCalls(t *testing.T, caller *aegis.Conn, h *held, end func()) []*aegis.Error {
	t.Helper()
	client := newClient(t, caller)
	ctx := deadlineIn(t, time.Hour)
	byStrategy := async(func() (*testv1.DoResponse, error) { return client.Do(ctx, doRequest("hold"), aegis.RoundRobin()) })
	byName := async(func() (*testv1.DoResponse, error) { return client.Do(ctx, doRequest("hold"), aegis.ToInstance("a")) })
	receive(t, "the first runs", h.running)
	receive(t, "the second runs", h.running)
	end()
	return []*aegis.Error{
		asError(t, receive(t, "the one that was picked ends", byStrategy).err),
		asError(t, receive(t, "the one by name ends", byName).err),
	}
}

func requireLost(t *testing.T, errs []*aegis.Error) {
	t.Helper()
	for _, err := range errs {
		require.Equal(t, aegis.CodeUnavailable, err.Code())
		require.Equal(t, aegis.ReasonInstanceLost, err.Reason())
		require.Contains(t, err.Message(), "whether the handler ran is unknown")
		require.False(t, aegis.IsWireError(err))
		require.NotErrorIs(t, err, aegis.ErrNoResponders)
	}
}

func TestCallsInFlightEndWithTheirInstance(t *testing.T) {
	t.Parallel()
	for _, tapped := range []bool{false, true} {
		t.Run(fmt.Sprintf("tapped %v", tapped), func(t *testing.T) {
			t.Parallel()
			conn := connect(t)
			if tapped {
				spyOn(t, conn) // nobody hears of "no responders" any more
			}
			doomed, caller := another(t, conn), another(t, conn)
			h := newHeld()
			defer close(h.letGo)
			run(t, doomed, h.probe(), aegis.WithInstance("a"), aegis.WithHeartbeat(quickBeat))
			shows(t, caller, probeName, "a RUNNING")
			requireLost(t, lostCalls(t, caller, h, doomed.NATS().Close))
		})
	}
}

// A process under the same name is another one: it knows nothing of the calls.
func TestCallsInFlightEndWhenAnotherProcessHasTheName(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	doomed, caller := another(t, conn), another(t, conn)
	h := newHeld()
	defer close(h.letGo)
	run(t, doomed, h.probe(), aegis.WithInstance("a"), aegis.WithHeartbeat(time.Minute)) // it would not expire within the test
	shows(t, caller, probeName, "a RUNNING")
	requireLost(t, lostCalls(t, caller, h, func() {
		doomed.NATS().Close()
		run(t, another(t, conn), probe{}, aegis.WithInstance("a"))
	}))
	res, err := newClient(t, caller, aegis.RoundRobin()).Do(t.Context(), doRequest(""))
	require.NoError(t, err, "the new one is called")
	require.Equal(t, "a", res.GetInstanceName())
}

func TestALostCallIsTriedElsewhereIfItIsIdempotent(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	doomed, caller := another(t, conn), another(t, conn)
	h := newHeld()
	defer close(h.letGo)
	run(t, doomed, h.probe(), aegis.WithInstance("a"), aegis.WithHeartbeat(quickBeat))
	shows(t, caller, probeName, "a RUNNING")
	ctx := deadlineIn(t, time.Hour)
	client := newClient(t, caller)
	picked := async(func() (*testv1.GetResponse, error) { return client.Get(ctx, getRequest("hold"), aegis.RoundRobin()) })
	named := async(func() (*testv1.GetResponse, error) { return client.Get(ctx, getRequest("hold"), aegis.ToInstance("a")) })
	receive(t, "the first runs", h.running)
	receive(t, "the second runs", h.running)
	serve(t, conn, probe{}, aegis.WithInstance("b"))
	shows(t, caller, probeName, "a RUNNING", "b RUNNING")
	doomed.NATS().Close()
	require.NoError(t, receive(t, "b answers", picked).err)
	err := receive(t, "nobody else may answer", named).err
	require.Equal(t, aegis.ReasonInstanceLost, asError(t, err).Reason())
}

// PEERS 16: what is in the bucket, for ever, keeps nobody in the view.
func TestARecordWithoutAnInstanceGetsNoCalls(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	doomed := another(t, conn)
	srv := run(t, doomed, probe{}, aegis.WithInstance("a"), aegis.WithHeartbeat(quickBeat))
	serve(t, conn, probe{}, aegis.WithInstance("b"))
	early := another(t, conn)
	shows(t, early, probeName, "a RUNNING", "b RUNNING")
	spyOn(t, conn)
	doomed.NATS().Close()
	require.ErrorIs(t, receive(t, "Run returns", srv.done), aegis.ErrConnClosed)
	late := another(t, conn) // finds the record in the bucket
	for _, caller := range []*aegis.Conn{early, late} {
		client := newClient(t, caller, aegis.RoundRobin())
		for range 20 {
			// Idempotent: with the tap, those that go to a are lost first.
			_, err := client.Get(t.Context(), getRequest(""))
			require.NoError(t, err)
		}
		shows(t, caller, probeName, "b RUNNING")
		require.Equal(t, map[string]int{"b": 20}, callMany(t, 1, 20, doBy(client)).counts)
	}
}

// The reply and the goodbye of an instance come together, and different
// goroutines take them in.
func TestTheLastReplyOfAnInstanceIsNotLost(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	caller := another(t, conn)
	h := newHeld()
	stopping := run(t, conn, h.probe(), aegis.WithInstance("a"))
	shows(t, caller, probeName, "a RUNNING")
	client := newClient(t, caller)
	call := async(func() (*testv1.DoResponse, error) {
		return client.Do(t.Context(), doRequest("hold"), aegis.RoundRobin(), aegis.MaxAttempts(1))
	})
	receive(t, "it runs", h.running)
	release := caller.HoldReplies()
	close(h.letGo)
	stopping.stop()
	require.NoError(t, receive(t, "Run returns", stopping.done))
	shows(t, caller, probeName) // it has left
	release()
	require.NoError(t, receive(t, "the reply", call).err)
}

// slowStart is a strategy that takes the first, and whose Started waits.
type slowStart struct {
	selection.Ignorant
	started func(*selection.Instance)
}

func (slowStart) Pick(*selection.View, selection.Call) int { return 0 }
func (s slowStart) Started(i *selection.Instance)          { s.started(i) }

// Under a tap NATS takes the request to an instance that is gone, and nothing
// would ever come of it.
func TestACallGoesToNobodyWhoIsGoneSinceItWasPicked(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	tap := spyOn(t, conn)
	caller := another(t, conn)
	stopping := run(t, conn, probe{}, aegis.WithInstance("a"))
	serve(t, conn, probe{}, aegis.WithInstance("b"))
	shows(t, caller, probeName, "a RUNNING", "b RUNNING")
	var once sync.Once
	s := slowStart{started: func(i *selection.Instance) {
		if i.ID() != "a" {
			return
		}
		once.Do(func() {
			stopping.stop()
			shows(t, caller, probeName, "b RUNNING")
		})
	}}
	ctx, client := deadlineIn(t, time.Hour), newClient(t, caller)
	call := receive(t, "a reply", async(func() (*testv1.DoResponse, error) { return client.Do(ctx, doRequest(""), aegis.SelectBy(s)) }))
	require.NoError(t, call.err)
	require.Equal(t, "b", call.res.GetInstanceName())
	require.Empty(t, tap.subjects(func(s string) bool { return strings.HasPrefix(s, "aegis.inst.a.") }))
	require.NoError(t, receive(t, "Run returns", stopping.done))
}
