package howto

import (
	"context"
	"errors"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	howtov1 "github.com/aegisrpc/aegis/examples/howto/gen/howto/v1"
	"github.com/aegisrpc/aegis/examples/howto/gen/howto/v1/howtov1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

// whoAsks tells its callers who they are.
type whoAsks struct {
	howtov1aegis.UnimplementedOrderServiceServer
}

func (whoAsks) GetOrder(ctx context.Context, _ *howtov1.GetOrderRequest) (*howtov1.GetOrderResponse, error) {
	return &howtov1.GetOrderResponse{User: UserFromContext(ctx)}, nil
}

func (whoAsks) WatchOrders(ctx context.Context, _ *howtov1.WatchOrdersRequest, out aegis.Sender[howtov1.WatchOrdersResponse]) error {
	return out.Send(&howtov1.WatchOrdersResponse{Order: &howtov1.Order{Id: "of " + UserFromContext(ctx)}})
}

func TestEndUsersAreKnownByTheirToken(t *testing.T) {
	users := map[string]string{"t0k3n": "anna"} // in life: a JWT, whose signature is checked
	conn := aegistest.Connect(t)
	serveOrders(t, conn, whoAsks{}, aegis.WithInterceptors(Authenticator{User: func(_ context.Context, token string) (string, error) {
		if user := users[token]; user != "" {
			return user, nil
		}
		return "", errors.New("no such user")
	}}))
	client := newOrders(t, conn)
	resp, err := client.GetOrder(WithToken(within(t), "t0k3n"), &howtov1.GetOrderRequest{})
	require.NoError(t, err)
	require.Equal(t, "anna", resp.GetUser())
	orders, err := client.WatchOrders(WithToken(within(t), "t0k3n"), &howtov1.WatchOrdersRequest{})
	require.NoError(t, err)
	for o, err := range orders.All() {
		require.NoError(t, err)
		require.Equal(t, "of anna", o.GetOrder().GetId())
	}
	for says, as := range map[string]func() context.Context{
		"has no token": func() context.Context { return within(t) },
		"not valid":    func() context.Context { return WithToken(within(t), "stolen") },
	} {
		_, err = client.GetOrder(as(), &howtov1.GetOrderRequest{})
		require.Equal(t, aegis.CodeUnauthenticated, aegis.CodeOf(err))
		require.ErrorContains(t, err, says)
		orders, err := client.WatchOrders(as(), &howtov1.WatchOrdersRequest{})
		if err == nil {
			_, err = orders.Recv()
		}
		require.Equal(t, aegis.CodeUnauthenticated, aegis.CodeOf(err), "a stream has no other door")
	}
}

// The permissions are those that the command prints, which a test of the command compares.
func TestEachServiceHasAUserOfItsOwn(t *testing.T) {
	t.Setenv("ORDERS_PASSWORD", "s3cr3t")
	t.Setenv("BILLING_PASSWORD", "t0ps3cr3t")
	server := aegistest.StartNATSWithConfig(t, "nats/nats.conf")
	connect := func(user, password string) *aegis.Conn {
		return server.Connect(t, aegis.WithNATSOptions(nats.UserInfo(user, password)))
	}
	orders, billing := connect("orders", "s3cr3t"), connect("billing", "t0ps3cr3t")
	serveOrders(t, orders, whoAsks{})
	_, err := newOrders(t, billing).GetOrder(within(t), &howtov1.GetOrderRequest{})
	require.NoError(t, err)

	_, err = newOrders(t, orders).GetOrder(within(t), &howtov1.GetOrderRequest{})
	require.Equal(t, aegis.CodePermissionDenied, aegis.CodeOf(err), "a server that is no client")
	srv, err := aegis.NewServer(billing)
	require.NoError(t, err)
	require.NoError(t, howtov1aegis.RegisterOrderServiceServer(srv, whoAsks{}))
	require.ErrorContains(t, srv.Run(within(t)), "NATS does not allow this user what a server needs", "a client that would be a server")
	_, err = aegis.Connect(within(t), server.URL())
	require.ErrorContains(t, err, "Authorization Violation")
}
