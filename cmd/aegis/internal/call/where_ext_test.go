package call_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/clitest"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/testservice"
	orderv1 "github.com/aegisrpc/aegis/examples/order/gen/order/v1"
	"github.com/aegisrpc/aegis/examples/order/gen/order/v1/orderv1aegis"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

// desk is an order service that answers nothing.
type desk struct {
	orderv1aegis.UnimplementedOrderServiceServer
}

func (desk) PlaceOrder(context.Context, *orderv1.PlaceOrderRequest) (*orderv1.PlaceOrderResponse, error) {
	return &orderv1.PlaceOrderResponse{}, nil
}

func (desk) OnLeading(context.Context, aegis.Term) error { return nil }

// labelled starts an instance that says something of itself.
func labelled(t *testing.T, nats *aegistest.NATS, name string, labels map[string]string, opts ...aegis.ConnOption) {
	t.Helper()
	conn := nats.Connect(t, append(opts, aegis.WithLabels(labels))...)
	aegistest.Serve(t, conn, func(srv *aegis.Server) error {
		return errors.Join(
			aegistestv1aegis.RegisterProbeServiceServer(srv, probe{}),
			aegistestv1aegis.RegisterStreamServiceServer(srv, testservice.Streams{}),
		)
	}, aegis.WithInstance(name))
}

// answering returns the instances that answer calls with these flags.
func answering(t *testing.T, env []string, flags ...string) []string {
	t.Helper()
	names := map[string]bool{}
	for range 4 {
		r := clitest.Run(t, env, append([]string{"call", "aegistest.v1.ProbeService/Do"}, flags...)...)
		require.Equal(t, 0, r.Code, r.Err)
		_, name, _ := strings.Cut(r.Out, `"instanceName": "`)
		name, _, _ = strings.Cut(name, `"`)
		names[name] = true
	}
	return slices.Sorted(maps.Keys(names))
}

func TestWhereCallsTheInstancesThatHaveTheLabels(t *testing.T) {
	t.Parallel()
	nats := aegistest.StartNATS(t)
	env := []string{"NATS_URL=" + nats.URL()}
	labelled(t, nats, "one", map[string]string{"version": "blue", "tier": "gold"})
	labelled(t, nats, "two", map[string]string{"version": "green", "tier": "gold"})
	labelled(t, nats, "mine", map[string]string{"version": "green", "developer": "anna"}, aegis.WithReserved())

	assert.Equal(t, []string{"one"}, answering(t, env, "--where", "version=blue"))
	assert.Equal(t, []string{"two"}, answering(t, env, "--where", "version=green", "--where", "tier=gold"), "all labels")
	assert.Equal(t, []string{"mine"}, answering(t, env, "--where", "developer=anna"), "a reserved instance")
	assert.Equal(t, []string{"mine"}, answering(t, env, "--instance", "mine"))
	assert.NotContains(t, answering(t, env), "mine")

	r := clitest.Run(t, env, "call", "aegistest.v1.StreamService/Count", `{"numbers": 2}`, "--where", "developer=anna")
	require.Equal(t, 0, r.Code, r.Err)
	assert.Equal(t, []string{`{"number":"1"}`, `{"number":"2"}`}, strings.Fields(r.Out))

	r = clitest.Run(t, env, "call", "aegistest.v1.ProbeService/Do", "--where", "version=red")
	assert.Equal(t, 1, r.Code)
	assert.Empty(t, r.Out)
	assert.Contains(t, r.Err, "none has the label version=red")
	assert.Contains(t, r.Err, "mine has version=green; one has version=blue; two has version=green")
}

// Only a reserved instance runs: it is called by those who choose it.
func TestAReservedInstanceAloneIsCalledByThoseWhoChooseIt(t *testing.T) {
	t.Parallel()
	nats := aegistest.StartNATS(t)
	env := []string{"NATS_URL=" + nats.URL()}
	labelled(t, nats, "mine", map[string]string{"developer": "anna"}, aegis.WithReserved())
	assert.Equal(t, []string{"mine"}, answering(t, env, "--where", "developer=anna"))
	assert.Equal(t, []string{"mine"}, answering(t, env, "--instance", "mine"))
	r := clitest.Run(t, env, "call", "aegistest.v1.ProbeService/Do", "--strategy", "random")
	assert.Equal(t, 1, r.Code)
	assert.Contains(t, r.Err, "mine is reserved")
}

func TestWhereIsNotForCallsThatGoToALeader(t *testing.T) {
	t.Parallel()
	nats := aegistest.StartNATS(t)
	aegistest.Serve(t, nats.Connect(t), func(srv *aegis.Server) error {
		return orderv1aegis.RegisterOrderServiceServer(srv, desk{})
	}, aegis.WithInstance("one"))
	env := []string{"NATS_URL=" + nats.URL()}
	for _, flags := range [][]string{{"--where", "a=b"}, {"--strategy", "random"}, {"--key", "a"}} {
		r := clitest.Run(t, env, append([]string{"call", "order.v1.OrderService/PlaceOrder", `{"id": "1"}`}, flags...)...)
		assert.Equal(t, 2, r.Code, r.Err)
		assert.Contains(t, r.Err, "single active, its calls go to the leader")
	}
}
