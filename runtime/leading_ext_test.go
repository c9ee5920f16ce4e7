package aegis_test

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	orderv1 "github.com/aegisrpc/aegis/examples/order/gen/order/v1"
	"github.com/aegisrpc/aegis/examples/order/gen/order/v1/orderv1aegis"
	singleactivev1 "github.com/aegisrpc/aegis/internal/codegen/golden/singleactive"
	"github.com/aegisrpc/aegis/internal/codegen/golden/singleactive/singleactivev1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
	"github.com/aegisrpc/aegis/runtime/election"
)

// leaderDeadline is far more than a lease.
const leaderDeadline = 30 * time.Second

// fast is an election whose waits are short, for tests that wait out a lease.
var fast = aegis.WithElection(election.Config{Lease: 500 * time.Millisecond})

// desk is an instance of the order service that says who it is.
type desk struct {
	orderv1aegis.UnimplementedOrderServiceServer
	name      string
	onLeading func(context.Context, aegis.Term) error
	placed    atomic.Int64
	inside    chan struct{} // told when a handler runs, if not nil
	hold      chan struct{} // waited for in the handler, if not nil
	onHandle  func(aegis.Term)
	untilDone bool // the handler waits for the end of its context
}

func (d *desk) OnLeading(ctx context.Context, t aegis.Term) error {
	if d.onLeading == nil {
		return nil
	}
	return d.onLeading(ctx, t)
}

func (d *desk) PlaceOrder(ctx context.Context, req *orderv1.PlaceOrderRequest) (*orderv1.PlaceOrderResponse, error) {
	d.placed.Add(1)
	if d.inside != nil {
		d.inside <- struct{}{}
	}
	if d.hold != nil {
		<-d.hold
	}
	t, ok := aegis.TermFromContext(ctx)
	if !ok {
		return nil, errors.New("no term in the handler's context")
	}
	if d.onHandle != nil {
		d.onHandle(t)
	}
	if d.untilDone {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return &orderv1.PlaceOrderResponse{Instance: d.name, Order: &orderv1.Order{Id: req.GetId(), Term: t.Token}}, nil
}

// candidate is a running server of the order service.
type candidate struct {
	*desk
	conn *aegis.Conn
	srv  *aegis.Server
	stop func() error
}

// stand runs a candidate on a connection of its own.
func stand(t *testing.T, n *aegistest.NATS, d *desk, opts ...aegis.ServerOption) *candidate {
	t.Helper()
	return standWith(t, n, d, fast, opts...)
}

// standWith is stand with another election.
func standWith(t *testing.T, n *aegistest.NATS, d *desk, election aegis.ServiceOption, opts ...aegis.ServerOption) *candidate {
	t.Helper()
	c := &candidate{desk: d, conn: n.Connect(t)}
	running := make(chan struct{})
	var err error
	c.srv, err = aegis.NewServer(c.conn, append(opts, aegis.WithInstance(d.name), aegis.WithStateHook(func(s aegis.State) {
		if s == aegis.StateRunning {
			close(running)
		}
	}))...)
	require.NoError(t, err)
	require.NoError(t, orderv1aegis.RegisterOrderServiceServer(c.srv, d, election))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.srv.Run(ctx) }()
	c.stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() { _ = c.stop() })
	select {
	case <-running:
	case <-time.After(leaderDeadline):
		t.Fatal("the server does not run")
	}
	return c
}

// leads waits until the candidate leads, and returns its term.
func (c *candidate) leads(t *testing.T) aegis.Term {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), leaderDeadline)
	defer cancel()
	for change := range c.srv.WatchLeading(ctx) {
		if change.Leading {
			return change.Term
		}
	}
	t.Fatalf("%s does not lead", c.name)
	return aegis.Term{}
}

func newOrders(t *testing.T, conn *aegis.Conn, opts ...aegis.ClientOption) orderv1aegis.OrderServiceClient {
	t.Helper()
	client, err := orderv1aegis.NewOrderServiceClient(conn, opts...)
	require.NoError(t, err)
	return client
}

func place(t *testing.T, client orderv1aegis.OrderServiceClient, opts ...aegis.CallOption) (*orderv1.PlaceOrderResponse, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), leaderDeadline)
	defer cancel()
	return client.PlaceOrder(ctx, &orderv1.PlaceOrderRequest{Id: "1"}, opts...)
}

func TestOneOfThreeHandlesAllCalls(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	var all []*candidate
	for _, name := range []string{"a", "b", "c"} {
		all = append(all, stand(t, n, &desk{name: name}))
	}
	client := newOrders(t, n.Connect(t))
	var wg sync.WaitGroup
	for range 30 {
		wg.Go(func() {
			_, err := place(t, client)
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	counts := map[int64]int{}
	for _, c := range all {
		counts[c.placed.Load()]++
	}
	require.Equal(t, map[int64]int{30: 1, 0: 2}, counts)
}

func TestFailoverByStopAndByLostConnection(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	all := map[string]*candidate{}
	for _, name := range []string{"a", "b", "c"} {
		all[name] = stand(t, n, &desk{name: name})
	}
	client := newOrders(t, n.Connect(t))
	first, err := place(t, client)
	require.NoError(t, err)
	require.NoError(t, all[first.GetInstance()].stop())
	second, err := place(t, client)
	require.NoError(t, err)
	require.NotEqual(t, first.GetInstance(), second.GetInstance())
	all[second.GetInstance()].conn.NATS().Close()
	third, err := place(t, client)
	require.NoError(t, err)
	require.NotEqual(t, second.GetInstance(), third.GetInstance())
	require.Greater(t, second.GetOrder().GetTerm(), first.GetOrder().GetTerm())
	require.Greater(t, third.GetOrder().GetTerm(), second.GetOrder().GetTerm())
	require.ErrorIs(t, all[second.GetInstance()].stop(), aegis.ErrConnClosed)
}

func TestTermReachesHandlerAndCaller(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	leader := stand(t, n, &desk{name: "a"})
	term := leader.leads(t)
	require.Equal(t, "order.v1.OrderService", term.Service)
	require.Equal(t, "default", term.Group)
	client := newOrders(t, n.Connect(t))
	for _, opts := range [][]aegis.CallOption{nil, {aegis.ToInstance("a")}} {
		ctx, call := aegis.NewCall(t.Context())
		resp, err := client.PlaceOrder(ctx, &orderv1.PlaceOrderRequest{Id: "1"}, opts...)
		require.NoError(t, err)
		require.Equal(t, term.Token, resp.GetOrder().GetTerm())
		require.Equal(t, term.Token, call.Term().Token)
	}
	var now []aegis.Term
	for t := range leader.srv.Leading() {
		now = append(now, t)
	}
	require.Equal(t, []aegis.Term{term}, now)
}

func TestDirectedCallToStandbyIsNotActive(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	stand(t, n, &desk{name: "a"}).leads(t)
	standby := stand(t, n, &desk{name: "b"})
	_, err := place(t, newOrders(t, n.Connect(t)), aegis.ToInstance("b"))
	require.ErrorIs(t, err, aegis.ErrNotActive)
	require.True(t, aegis.IsWireError(err))
	require.Equal(t, aegis.CodeUnavailable, aegis.CodeOf(err))
	require.Zero(t, standby.placed.Load())
}

func TestCallWithoutLeaderEndsAtItsDeadline(t *testing.T) {
	t.Parallel()
	client := newOrders(t, aegistest.Connect(t))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := client.PlaceOrder(ctx, &orderv1.PlaceOrderRequest{Id: "1"})
	require.ErrorIs(t, err, aegis.ErrNotActive)
	require.False(t, aegis.IsWireError(err))
}

func TestCallInsideLostLeaderIsLeadershipLost(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	hold := make(chan struct{})
	defer close(hold)
	a := stand(t, n, &desk{name: "a", inside: make(chan struct{}, 1), hold: hold})
	b := stand(t, n, &desk{name: "b", inside: make(chan struct{}, 1), hold: hold})
	client := newOrders(t, n.Connect(t), aegis.MaxAttempts(1))
	call := async(func() (*orderv1.PlaceOrderResponse, error) {
		return client.PlaceOrder(t.Context(), &orderv1.PlaceOrderRequest{Id: "1"})
	})
	select {
	case <-a.inside:
		a.conn.NATS().Close()
	case <-b.inside:
		b.conn.NATS().Close()
	case <-time.After(leaderDeadline):
		t.Fatal("nobody handles the call")
	}
	var e *aegis.Error
	require.ErrorAs(t, receive(t, "the call ends", call).err, &e)
	require.Equal(t, aegis.ReasonLeadershipLost, e.Reason(), "%v", e)
	require.Equal(t, aegis.CodeAborted, e.Code())
}

func TestFailingOnLeadingGivesTheLeadershipBack(t *testing.T) {
	t.Parallel()
	for name, onLeading := range map[string]func(context.Context, aegis.Term) error{
		"error": func(context.Context, aegis.Term) error { return errors.New("no state") },
		"panic": func(context.Context, aegis.Term) error { panic("no state") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := aegistest.StartNATS(t)
			tried := make(chan struct{}, 16)
			bad := stand(t, n, &desk{name: "bad", onLeading: func(ctx context.Context, term aegis.Term) error {
				tried <- struct{}{}
				return onLeading(ctx, term)
			}}, aegis.WithLogger(slog.New(slog.DiscardHandler)))
			<-tried
			stand(t, n, &desk{name: "good"})
			resp, err := place(t, newOrders(t, n.Connect(t)))
			require.NoError(t, err)
			require.Equal(t, "good", resp.GetInstance())
			require.Zero(t, bad.placed.Load())
		})
	}
}

func TestNothingIsServedBeforeOnLeadingReturns(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	loading, loaded := make(chan struct{}, 100), make(chan struct{}) // it is elected again where the machine is busy
	a := stand(t, n, &desk{name: "a", onLeading: func(ctx context.Context, _ aegis.Term) error {
		loading <- struct{}{}
		select {
		case <-loaded:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}})
	<-loading
	client := newOrders(t, n.Connect(t))
	_, err := place(t, client, aegis.ToInstance("a"))
	require.ErrorIs(t, err, aegis.ErrNotActive)
	close(loaded)
	_, err = place(t, client)
	require.NoError(t, err)
	require.EqualValues(t, 1, a.placed.Load())
}

func TestWatchLeadingShowsTheWholeTerm(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	a := stand(t, n, &desk{name: "a"})
	changes := make(chan aegis.LeadershipChange, 8)
	go func() {
		defer close(changes)
		for c := range a.srv.WatchLeading(context.Background()) {
			changes <- c
		}
	}()
	began := <-changes
	require.True(t, began.Leading)
	require.NoError(t, a.stop())
	over := <-changes
	require.Equal(t, aegis.LeadershipChange{Term: began.Term}, over)
	_, more := <-changes
	require.False(t, more, "the watch ends with the server")
}

func TestPlainClientsReachTheLeader(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	leader := stand(t, n, &desk{name: "a"})
	term := leader.leads(t)
	msg := nats.NewMsg("aegis.lead.order.v1.OrderService.PlaceOrder.default.any")
	msg.Header.Set("Content-Type", "application/json")
	msg.Data = []byte(`{"id":"7"}`)
	reply, err := leader.conn.NATS().RequestMsg(msg, leaderDeadline)
	require.NoError(t, err)
	require.Contains(t, string(reply.Data), `"7"`)
	require.Equal(t, strings.TrimSpace(reply.Header.Get("Aegis-Term")), uitoa(term.Token))
}

// venues is an instance of a service with two groups.
type venues struct {
	singleactivev1aegis.UnimplementedVenueServiceServer
	refuse string // the group that it does not want to lead
}

func (v venues) OnLeading(_ context.Context, t aegis.Term) error {
	if t.Group == v.refuse {
		return errors.New("not this one")
	}
	return nil
}

func (venues) PlaceEast(context.Context, *singleactivev1.PlaceRequest) (*singleactivev1.PlaceResponse, error) {
	return &singleactivev1.PlaceResponse{}, nil
}

func (venues) PlaceWest(context.Context, *singleactivev1.PlaceRequest) (*singleactivev1.PlaceResponse, error) {
	return &singleactivev1.PlaceResponse{}, nil
}

func TestGroupsOfOneServiceHaveLeadersOfTheirOwn(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	quiet := aegis.WithLogger(slog.New(slog.DiscardHandler))
	leading := map[string]*aegis.Server{}
	for name, refuse := range map[string]string{"east": "west", "west": "east"} {
		leading[name] = aegistest.Serve(t, n.Connect(t), func(srv *aegis.Server) error {
			return singleactivev1aegis.RegisterVenueServiceServer(srv, venues{refuse: refuse}, fast)
		}, aegis.WithInstance(name), quiet)
	}
	client, err := singleactivev1aegis.NewVenueServiceClient(n.Connect(t))
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), leaderDeadline)
	defer cancel()
	_, err = client.PlaceEast(ctx, &singleactivev1.PlaceRequest{})
	require.NoError(t, err)
	_, err = client.PlaceWest(ctx, &singleactivev1.PlaceRequest{})
	require.NoError(t, err)
	for name, srv := range leading {
		for term := range srv.Leading() {
			require.Equal(t, name, term.Group)
		}
	}
}

// problems collects what a server logs.
type problems struct{ lines chan string }

func (p problems) Write(line []byte) (int, error) {
	select {
	case p.lines <- string(line):
	default:
	}
	return len(line), nil
}

// saysProblem waits for a line of the log that contains what.
func (p problems) says(t *testing.T, what string) {
	t.Helper()
	timeout := time.After(leaderDeadline)
	for {
		select {
		case line := <-p.lines:
			if strings.Contains(line, what) {
				return
			}
		case <-timeout:
			t.Fatalf("nobody said %q", what)
		}
	}
}

func newProblems() (problems, aegis.ServerOption) {
	p := problems{lines: make(chan string, 1024)}
	return p, aegis.WithLogger(slog.New(slog.NewTextHandler(p, nil)))
}

func leaderStream(t *testing.T, n *aegistest.NATS, change func(*jetstream.StreamConfig)) jetstream.Stream {
	t.Helper()
	js, err := jetstream.New(n.Connect(t).NATS())
	require.NoError(t, err)
	cfg := jetstream.StreamConfig{Name: "KV_aegis-leaders", Subjects: []string{"$KV.aegis-leaders.>"}, MaxMsgsPerSubject: 1}
	change(&cfg)
	s, err := js.CreateStream(t.Context(), cfg)
	require.NoError(t, err)
	return s
}

func TestBucketWithDirectGetIsRefused(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	leaderStream(t, n, func(c *jetstream.StreamConfig) { c.AllowDirect = true })
	log, option := newProblems()
	stand(t, n, &desk{name: "a"}, option)
	log.says(t, "direct get")
}

func TestForeignRecordIsLeftAloneUntilItIsRemoved(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	stream := leaderStream(t, n, func(*jetstream.StreamConfig) {})
	subject := "$KV.aegis-leaders.order.v1.OrderService.default." + itoa(stream.CachedInfo().Created.UnixNano())
	nc := n.Connect(t).NATS()
	require.NoError(t, nc.Publish(subject, []byte("mine")))
	require.NoError(t, nc.Flush())
	log, option := newProblems()
	a := stand(t, n, &desk{name: "a"}, option)
	log.says(t, "not a leader record")
	require.NoError(t, stream.Purge(t.Context()))
	a.leads(t)
}

func TestMissingBucketIsReportedWhereItMayNotBeMade(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	log, option := newProblems()
	a := stand(t, n, &desk{name: "a"}, option, aegis.WithLeaderBucket(aegis.BucketConfig{NoCreate: true}))
	log.says(t, "may not be created here")
	leaderStream(t, n, func(*jetstream.StreamConfig) {})
	a.leads(t)
}

func TestElectionOptionsAreChecked(t *testing.T) {
	t.Parallel()
	srv, err := aegis.NewServer(aegistest.Connect(t))
	require.NoError(t, err)
	err = orderv1aegis.RegisterOrderServiceServer(srv, &desk{}, aegis.WithElection(election.Config{Lease: time.Millisecond}))
	require.ErrorIs(t, err, aegis.ErrInvalidOption)
	require.ErrorIs(t, err, election.ErrInvalidConfig)
	require.ErrorContains(t, err, "use at least 500ms")
	_, err = aegis.NewServer(aegistest.Connect(t), aegis.WithLeaderBucket(aegis.BucketConfig{Replicas: 2}))
	require.ErrorIs(t, err, aegis.ErrInvalidOption)
}

func TestBucketDeletedUnderTheLeader(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	for _, name := range []string{"a", "b"} {
		stand(t, n, &desk{name: name})
	}
	conn := n.Connect(t)
	client := newOrders(t, conn)
	before, err := place(t, client)
	require.NoError(t, err)
	js, err := jetstream.New(conn.NATS())
	require.NoError(t, err)
	require.NoError(t, js.DeleteStream(t.Context(), "KV_aegis-leaders"))
	require.Eventually(t, func() bool {
		after, err := place(t, client)
		return err == nil && after.GetOrder().GetTerm() > before.GetOrder().GetTerm()
	}, leaderDeadline, 20*time.Millisecond)
}

func itoa(n int64) string   { return strconv.FormatInt(n, 10) }
func uitoa(n uint64) string { return strconv.FormatUint(n, 10) }
