package top

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/clitest"
	orderv1 "github.com/aegisrpc/aegis/examples/order/gen/order/v1"
	"github.com/aegisrpc/aegis/examples/order/gen/order/v1/orderv1aegis"
	"github.com/aegisrpc/aegis/internal/embednats"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

const (
	orderService = orderv1aegis.OrderServiceName
	probeService = aegistestv1aegis.ProbeServiceName
)

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

// serveOrders runs an instance of the order service.
func serveOrders(t *testing.T, n *aegistest.NATS, instance string) {
	t.Helper()
	aegistest.Serve(t, n.Connect(t), func(srv *aegis.Server) error {
		return orderv1aegis.RegisterOrderServiceServer(srv, orderServer{})
	}, aegis.WithInstance(instance))
}

// The view shows what runs on a real NATS server, and follows it.
func TestViewOfTheRunningSystem(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	serveOrders(t, n, "order-1")
	serveOrders(t, n, "order-2")
	aegistest.Serve(t, n.Connect(t), func(srv *aegis.Server) error {
		return aegistestv1aegis.RegisterProbeServiceServer(srv, probeServer{})
	}, aegis.WithInstance("probe-1"))

	s := clitest.StartScreen(t, 120, 40, []string{"NATS_URL=" + n.URL()}, "top")
	s.AwaitScreen(t, "shows both services and the leader", func(screen string) bool {
		return strings.Contains(screen, orderService) && strings.Contains(screen, probeService) && strings.Contains(screen, "Services 2 ")
	})
	s.Type(t, "N")
	s.AwaitText(t, "SERVICE↑")
	s.Type(t, "N")
	s.AwaitScreen(t, "is sorted the other way", func(screen string) bool {
		return strings.Contains(screen, "SERVICE↓") && strings.Index(screen, orderService+" ") < strings.Index(screen, probeService+" ")
	})
	s.Type(t, "/probe"+enter)
	s.AwaitScreen(t, "is filtered", func(screen string) bool { return !strings.Contains(screen, orderService) })
	s.Type(t, escape)
	s.AwaitText(t, "Services 2 ")

	s.Type(t, enter)
	screen := s.AwaitScreen(t, "shows the instances and a leader", func(screen string) bool {
		return strings.Contains(screen, "Instances 2 ") && strings.Contains(screen, "PlaceOrder") && strings.Contains(screen, "● order-")
	})
	assert.Contains(t, screen, "order-1")
	assert.Contains(t, screen, "order-2")
	serveOrders(t, n, "order-3")
	s.AwaitText(t, "order-3")

	for view, has := range map[string]string{"2": "Leaders 1 ", "3": "Queues ", "4": "Subscriptions ", "5": "Dead letters ", "6": "order-3"} {
		s.Type(t, view)
		s.AwaitText(t, has)
	}
	s.Type(t, "1")
	s.AwaitText(t, "Services 2 ")
	s.Type(t, "q")
	assert.Equal(t, 0, s.Wait(t).Code)
	s.AssertRestored(t)
}

// The details of a service that is named on the command line come first.
func TestViewOfAServiceOfTheRunningSystem(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	serveOrders(t, n, "order-1")
	s := clitest.StartScreen(t, 60, 20, []string{"NATS_URL=" + n.URL()}, "top", orderService)
	s.AwaitText(t, "order-1")
	s.Type(t, escape)
	s.AwaitText(t, "Services 1 ")
	s.Type(t, "\x03")
	assert.Equal(t, 130, s.Wait(t).Code)
	s.AssertRestored(t)
}

// A NATS that goes away is told of, and the view stays.
func TestViewWithoutNATS(t *testing.T) {
	t.Parallel()
	n, err := embednats.Start(embednats.Options{StoreDir: t.TempDir()})
	require.NoError(t, err)
	stop := sync.OnceFunc(n.Stop)
	t.Cleanup(stop)
	s := clitest.StartScreen(t, 80, 24, []string{"NATS_URL=" + n.ClientURL()}, "top")
	s.AwaitText(t, "No service runs here")
	stop()
	s.AwaitScreen(t, "says that NATS is gone", func(screen string) bool {
		first, rest, _ := strings.Cut(screen, "\n")
		return strings.Contains(first, "✕") && strings.HasPrefix(rest, "✕ Not connected to NATS")
	})
	s.Type(t, "q")
	assert.Equal(t, 0, s.Wait(t).Code)
	s.AssertRestored(t)
}
