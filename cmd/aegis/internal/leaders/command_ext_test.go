package leaders_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/testservice"
	orderv1 "github.com/aegisrpc/aegis/examples/order/gen/order/v1"
	"github.com/aegisrpc/aegis/examples/order/gen/order/v1/orderv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisadmin"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

const subcommand testservice.Subcommand = "leaders"

const patience = 30 * time.Second

// desk is an instance that says who has answered.
type desk struct {
	orderv1aegis.UnimplementedOrderServiceServer

	name string
}

func (d *desk) OnLeading(context.Context, aegis.Term) error { return nil }

func (d *desk) PlaceOrder(context.Context, *orderv1.PlaceOrderRequest) (*orderv1.PlaceOrderResponse, error) {
	return &orderv1.PlaceOrderResponse{Instance: d.name}, nil
}

func stand(t *testing.T, n *aegistest.NATS, name string) {
	t.Helper()
	aegistest.Serve(t, n.Connect(t), func(srv *aegis.Server) error {
		return orderv1aegis.RegisterOrderServiceServer(srv, &desk{name: name})
	}, aegis.WithInstance(name))
}

// leader waits until an instance leads and so many stand by, and returns its name.
func leader(t *testing.T, n *aegistest.NATS, standing int) string {
	t.Helper()
	admin := aegisadmin.New(n.Connect(t))
	var groups []aegisadmin.Leadership
	require.Eventually(t, func() bool {
		var err error
		groups, err = admin.Leaders(t.Context(), orderv1aegis.OrderServiceName)
		require.NoError(t, err)
		stand := 0
		for _, g := range groups {
			for _, c := range g.Candidates {
				if c.Stands {
					stand++
				}
			}
		}
		return len(groups) == 1 && groups[0].Answers && stand == standing
	}, patience, 50*time.Millisecond)
	return groups[0].Instance
}

func TestLeadershipIsHandedOver(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	r := subcommand.Run(t, n)
	require.Equal(t, 0, r.Code, r.Err)
	assert.Contains(t, r.Err, "No single active service has had a leader here.")
	stand(t, n, "one")
	require.Equal(t, "one", leader(t, n, 0))
	r = subcommand.Run(t, n)
	assert.Contains(t, r.Out, "nobody stands by")
	r = subcommand.Run(t, n, "handover", orderv1aegis.OrderServiceName, "--yes")
	assert.Equal(t, 1, r.Code)
	assert.Contains(t, r.Err, "nobody stands by but one")

	stand(t, n, "two")
	stand(t, n, "three")
	require.Equal(t, "one", leader(t, n, 2))
	r = subcommand.Run(t, n, "handover", orderv1aegis.OrderServiceName, "--to", "thre", "--yes")
	assert.Equal(t, 1, r.Code)
	assert.Contains(t, r.Err, "did you mean three?")
	r = subcommand.Run(t, n, "handover", orderv1aegis.OrderServiceName)
	assert.Equal(t, 2, r.Code, "nobody can be asked")
	r = subcommand.Run(t, n, "handover", orderv1aegis.OrderServiceName, "--dry-run")
	assert.Equal(t, 0, r.Code, r.Err)
	assert.Contains(t, r.Err, "to any of three, two")
	require.Equal(t, "one", leader(t, n, 2))
	r = subcommand.Run(t, n, "handover", orderv1aegis.OrderServiceName+"/default", "--to", "three", "--yes")
	require.Equal(t, 0, r.Code, r.Err)
	assert.Contains(t, r.Out, "three leads "+orderv1aegis.OrderServiceName)

	client, err := orderv1aegis.NewOrderServiceClient(n.Connect(t))
	require.NoError(t, err)
	res, err := client.PlaceOrder(t.Context(), &orderv1.PlaceOrderRequest{Id: "x"})
	require.NoError(t, err)
	assert.Equal(t, "three", res.GetInstance())
	require.Equal(t, "three", leader(t, n, 2))
	var done struct {
		From, To string
		Term     uint64
		NextTerm uint64 `json:"next_term"`
	}
	r = subcommand.Run(t, n, "handover", orderv1aegis.OrderServiceName, "--yes", "-o", "json")
	require.Equal(t, 0, r.Code, r.Err)
	require.NoError(t, json.Unmarshal([]byte(r.Out), &done))
	assert.Equal(t, "three", done.From)
	assert.NotEqual(t, "three", done.To)
	assert.Greater(t, done.NextTerm, done.Term)
}

func TestWrongNamesOfLeaders(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	stand(t, n, "one")
	leader(t, n, 0)
	for want, args := range map[string][]string{
		"did you mean order.v1.OrderService?":                            {"order.v1.OrderServce"},
		"did you mean default?":                                          {"handover", "order.v1.OrderService/defalt", "--yes"},
		"has no group eu; it has default: order.v1.OrderService/default": {"handover", "order.v1.OrderService/eu", "--yes"},
		"one leads already":                                              {"handover", "order.v1.OrderService", "--to", "one", "--yes"},
	} {
		r := subcommand.Run(t, n, args...)
		assert.Equal(t, 1, r.Code, args)
		assert.Contains(t, r.Err, want)
	}
	assert.Equal(t, 2, subcommand.Run(t, n, "handover", "order.v1.OrderService", "--wait", "0s").Code)
}
