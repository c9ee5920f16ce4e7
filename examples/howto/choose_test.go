package howto

import (
	"context"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	howtov1 "github.com/aegisrpc/aegis/examples/howto/gen/howto/v1"
	"github.com/aegisrpc/aegis/examples/howto/gen/howto/v1/howtov1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

// payments tells which instance has answered.
type payments struct {
	howtov1aegis.UnimplementedPaymentServiceServer
}

func (payments) GetPayment(ctx context.Context, _ *howtov1.GetPaymentRequest) (*howtov1.GetPaymentResponse, error) {
	call, _ := aegis.CallFromContext(ctx)
	return &howtov1.GetPaymentResponse{Instance: call.Instance()}, nil
}

func (payments) Pay(context.Context, *howtov1.PayRequest) (*howtov1.PayResponse, error) {
	return &howtov1.PayResponse{}, nil
}

func (payments) OnLeading(context.Context, aegis.Term) error { return nil }

func TestOwnStrategySeesLabelsVersionZoneAndLeader(t *testing.T) {
	server := aegistest.StartNATS(t)
	serve := func(name, zone, tier string) {
		conn := server.Connect(t, aegis.WithInstance(name), aegis.WithZone(zone), aegis.WithLabels(map[string]string{"tier": tier}))
		aegistest.Serve(t, conn, func(srv *aegis.Server) error { return howtov1aegis.RegisterPaymentServiceServer(srv, payments{}) })
	}
	caller := server.Connect(t)
	serve("leader", "a", "gold") // it is the first, and so leads
	answers := func(zone string) string {
		client, err := howtov1aegis.NewPaymentServiceClient(caller, aegis.SelectBy(Gold{Zone: zone}))
		require.NoError(t, err)
		resp, err := client.GetPayment(within(t), &howtov1.GetPaymentRequest{})
		require.NoError(t, err)
		return resp.GetInstance()
	}
	require.Equal(t, "leader", answers("a"), "there is no other one")
	eventually(t, "it leads", func() bool {
		instances, err := caller.Instances(within(t), howtov1aegis.PaymentServiceName)
		return err == nil && slices.ContainsFunc(instances, func(i aegis.Instance) bool { return len(i.Leading) == 1 })
	})
	serve("gold-b", "b", "gold")
	serve("tin-a", "a", "tin")
	eventually(t, "a follower of another zone is better than the leader", func() bool { return answers("a") == "gold-b" })
	serve("gold-a", "a", "gold")
	eventually(t, "a follower of the zone is better than one of another", func() bool { return answers("a") == "gold-a" })
	for range 20 {
		require.Equal(t, "gold-a", answers("a"))
		require.Equal(t, "gold-b", answers("b"))
	}
}
