package root_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/clitest"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/root"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/testservice"
	orderv1 "github.com/aegisrpc/aegis/examples/order/gen/order/v1"
	"github.com/aegisrpc/aegis/examples/order/gen/order/v1/orderv1aegis"
	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	"github.com/aegisrpc/aegis/internal/wire"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
	"github.com/aegisrpc/aegis/runtime/health"
)

func TestMain(m *testing.M) { clitest.Main(m) }

const (
	jobs   = aegistestv1aegis.JobServiceName
	work   = jobs + "/Work"
	probes = aegistestv1aegis.ProbeServiceName
	flows  = aegistestv1aegis.StreamServiceName
	events = aegistestv1aegis.EventServiceName
	orders = orderv1aegis.OrderServiceName
)

// hostile is a text that would disturb a terminal if it were printed as it is.
const hostile = "<b>[red]\x1b[31m\x1b]0;title\a\r\u202eabc\u2066\u200b"

type orderServer struct {
	orderv1aegis.UnimplementedOrderServiceServer
}

func (orderServer) OnLeading(context.Context, aegis.Term) error { return nil }

func (orderServer) PlaceOrder(context.Context, *orderv1.PlaceOrderRequest) (*orderv1.PlaceOrderResponse, error) {
	return &orderv1.PlaceOrderResponse{}, nil
}

type probeServer struct {
	aegistestv1aegis.UnimplementedProbeServiceServer
}

func (probeServer) Do(_ context.Context, req *testv1.DoRequest) (*testv1.DoResponse, error) {
	return &testv1.DoResponse{Text: req.GetText()}, nil
}

type flowServer struct {
	aegistestv1aegis.UnimplementedStreamServiceServer
}

// Count sends so many numbers, and then none until the caller gives up.
func (flowServer) Count(ctx context.Context, req *testv1.CountRequest, out aegis.Sender[testv1.CountResponse]) error {
	for n := range req.GetNumbers() {
		if err := out.Send(&testv1.CountResponse{Number: n}); err != nil {
			return err
		}
	}
	<-ctx.Done()
	return ctx.Err()
}

// world is a NATS server with services that have calls, leaders, events, commands that
// wait, run and have died, and hostile texts in their records.
type world struct {
	nats *aegistest.NATS
	// waits is a command of which a worker reports the progress until the test ends, and
	// done one that has ended.
	waits, done string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{nats: aegistest.StartNATS(t)}
	sick := aegis.WithCheck("disk", func(context.Context) health.Result {
		return health.Result{Unhealthy: true, Reason: hostile + strings.Repeat("x", 300)}
	})
	aegistest.Serve(t, w.nats.Connect(t), func(srv *aegis.Server) error {
		return errors.Join(
			orderv1aegis.RegisterOrderServiceServer(srv, orderServer{}),
			aegistestv1aegis.RegisterProbeServiceServer(srv, probeServer{}),
			aegistestv1aegis.RegisterStreamServiceServer(srv, flowServer{}),
			aegistestv1aegis.SubscribeEventServiceEvents(srv, aegistestv1aegis.EventServiceEvents{
				Stored: func(context.Context, *testv1.StoredRequest) error { return nil },
			}, aegis.Compete("risk")),
		)
	}, aegis.WithInstance("an-instance-with-a-long-name-that-no-terminal-of-40-columns-has-"), sick)
	t.Cleanup(testservice.Serve(t, w.nats).Mend)
	client := testservice.Client(t, w.nats)
	done := testservice.Send(t, client, "x")
	_, err := done.Result(t.Context())
	require.NoError(t, err)
	died := testservice.Send(t, client, "dies of "+hostile)
	_, err = died.Result(t.Context())
	require.Error(t, err)
	w.waits, w.done = testservice.Send(t, client, "waits").ID(), done.ID()
	w.hostileRecords(t)
	pub, err := aegistestv1aegis.NewEventServicePublisher(w.nats.Connect(t))
	require.NoError(t, err)
	_, err = pub.Stored(t.Context(), &testv1.StoredRequest{})
	require.NoError(t, err)
	return w
}

// hostileRecords writes what a program of somebody else might write into the registry.
func (w *world) hostileRecords(t *testing.T) {
	t.Helper()
	js, err := jetstream.New(w.nats.Connect(t).NATS())
	require.NoError(t, err)
	v := 1
	record := &wire.Instance{
		Version: &v, Service: "a.v1.Hostile", Instance: "one", Process: "P1", Incarnation: 1, Change: 1, State: "RUNNING",
		ServiceVersion: hostile, Started: time.Now(), HeartbeatMS: 10_000, Unhealthy: true,
	}
	data, err := record.Encode()
	require.NoError(t, err)
	foreign := []byte(`{"v":1,"service":"<b>\u001b[31m\u202e` + strings.Repeat("x", 300) + `"}`)
	for subject, data := range map[string][]byte{
		"$KV.aegis-registry.a.v1.Hostile.one": data,
		"$KV.aegis-registry.a.v1.Hostile.two": foreign,
	} {
		_, err := js.Publish(t.Context(), subject, data)
		require.NoError(t, err)
	}
}

// env is the environment in which the command finds the world.
func (w *world) env(more ...string) []string {
	return append([]string{"NATS_URL=" + w.nats.URL()}, more...)
}

// arguments are arguments with which each subcommand prints something, by its path below
// aegis; nil for a command whose own tests have to do, as it needs more than NATS.
func (w *world) arguments() map[string][]string {
	return map[string][]string{
		"demo": nil, "dev": nil, "generate": nil, "init": nil, "lint-options": nil, // run processes, or need a project
		"chaos kill": nil, "chaos pause": nil, "chaos stop": nil, "chaos restart": nil, // these as well
		"ls": {}, "tree": {}, "watch": {}, "health": {}, "ping": {}, "describe": {orders},
		"top":      {}, // without a terminal it says what to use
		"call":     {probes + "/Do", `{"text": "hello"}`},
		"send":     {jobs + "/Once"},
		"result":   {work, w.done},
		"progress": {work, w.waits},
		"cancel":   {work, w.done},
		"publish":  {events + "/Stored", "{}"}, "subscribe": {events + "/Stored", "--from", "all", "--count", "1"},
		"bench":    {probes + "/Do", "--requests", "100"},
		"mcp":      {},
		"monitor":  {"--listen", "127.0.0.1:0"},
		"commands": {}, "commands list": {jobs}, "commands show": {jobs, w.waits}, "commands cancel": {jobs, w.waits, "--dry-run"},
		"commands delete": {jobs, "--all", "--dry-run"}, "commands pause": {work, "--for", "1h", "--yes"}, "commands resume": {work, "--yes"},
		"deadletters": {}, "deadletters list": {jobs}, "deadletters show": {jobs, "1"}, "deadletters retry": {jobs, "1", "--dry-run"},
		"deadletters delete": {jobs, "1", "--dry-run"},
		"streams":            {jobs}, "streams partitions": {events + "/Keyed"},
		"streams pause": {events + "/Stored", "--for", "1h", "--yes"}, "streams resume": {events + "/Stored", "--yes"},
		"leaders": {}, "leaders handover": {orders, "--force", "--dry-run"},
		"doctor": {}, "help": {"ls"},
	}
}

// endless are the commands that run until they are ended.
var endless = []string{"watch", "progress", "monitor"}

// each calls visit for each subcommand that can run, with its path below aegis.
func each(visit func(path string, c *cobra.Command)) {
	top := root.Command(new(cli.App))
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			if sub.Hidden || sub.Name() == "completion" {
				continue
			}
			if sub.Runnable() {
				visit(strings.TrimPrefix(sub.CommandPath(), top.Name()+" "), sub)
			}
			walk(sub)
		}
	}
	walk(top)
}

// visit calls try for each subcommand that can run with its arguments. A subcommand that
// has none in arguments fails the test.
func (w *world) visit(t *testing.T, try func(path string, args []string)) {
	t.Helper()
	all := w.arguments()
	each(func(path string, _ *cobra.Command) {
		args, known := all[path]
		require.True(t, known, "aegis %s is new: say in arguments with which arguments it prints something", path)
		if args != nil {
			try(path, append(strings.Fields(path), args...))
		}
	})
}
