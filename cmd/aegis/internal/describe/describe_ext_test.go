package describe_test

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/clitest"
	orderv1 "github.com/aegisrpc/aegis/examples/order/gen/order/v1"
	"github.com/aegisrpc/aegis/examples/order/gen/order/v1/orderv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

func TestMain(m *testing.M) { clitest.Main(m) }

type orders struct {
	orderv1aegis.UnimplementedOrderServiceServer
}

func (orders) OnLeading(context.Context, aegis.Term) error { return nil }

func (orders) GetOrder(context.Context, *orderv1.GetOrderRequest) (*orderv1.GetOrderResponse, error) {
	return &orderv1.GetOrderResponse{}, nil
}

func TestDescribeShowsWhatTheProtoSays(t *testing.T) {
	t.Parallel()
	nats := aegistest.StartNATS(t)
	aegistest.Serve(t, nats.Connect(t), func(srv *aegis.Server) error {
		return orderv1aegis.RegisterOrderServiceServer(srv, orders{})
	}, aegis.WithInstance("one"))
	env := []string{"NATS_URL=" + nats.URL()}

	r := clitest.Run(t, env, "describe", "order.v1.OrderService")
	require.Equal(t, 0, r.Code, r.Err)
	assert.Contains(t, r.Out, "OrderService keeps one order book, however many processes serve it")
	assert.Contains(t, r.Out, "1 instance: one")
	assert.Regexp(t, `PlaceOrder +single active +unary +order\.v1\.PlaceOrderRequest`, r.Out)
	assert.Regexp(t, `OrderPlaced +event `, r.Out)

	for _, arg := range []string{"order.v1.OrderService/PlaceOrder", "OrderService/PlaceOrder", "order.v1.OrderService.PlaceOrder"} {
		r = clitest.Run(t, env, "describe", arg)
		require.Equal(t, 0, r.Code, r.Err)
		assert.Contains(t, r.Out, "single active, unary, group default, timeout 5s, idempotent", arg)
		assert.Contains(t, r.Out, "symbol  string  # What is bought or sold: 1 to 16 bytes.", arg)
		assert.Contains(t, r.Out, `aegis call order.v1.OrderService/PlaceOrder '{"id": "id"`, arg)
	}
	r = clitest.Run(t, env, "describe", "order.v1.OrderService/PlaceOrder", "-o", "json")
	require.Equal(t, 0, r.Code, r.Err)
	assert.True(t, json.Valid([]byte(r.Out)))
	r = clitest.Run(t, env, "describe", "order.v1.OrdrService")
	assert.Equal(t, 1, r.Code)
	assert.Contains(t, r.Err, "did you mean order.v1.OrderService")
}
