package aegis_test

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	orderv1 "github.com/aegisrpc/aegis/examples/order/gen/order/v1"
	"github.com/aegisrpc/aegis/examples/order/gen/order/v1/orderv1aegis"
	"github.com/aegisrpc/aegis/internal/lossy"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
	"github.com/aegisrpc/aegis/runtime/election"
)

// On a busy machine a leader loses contact up to once a second. Its log must not
// drown in that, and has to say what it means. The lease is so long that no cut
// lasts for one, however late this test gets its turn.
func TestLeaderThatLosesContactAgainAndAgainLogsOneLine(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	var cut atomic.Bool
	proxy, err := lossy.New(strings.TrimPrefix(n.URL(), "nats://"), 0, func(m *lossy.Message) lossy.Fate {
		if cut.Load() && strings.HasPrefix(m.Subject, "aegis.live.") && strings.HasSuffix(m.Subject, ".self") {
			return lossy.Lost
		}
		return lossy.Passed
	})
	require.NoError(t, err)
	t.Cleanup(proxy.Close)
	var log logs
	srv := aegistest.Serve(t, connectTo(t, proxy.URL()), func(srv *aegis.Server) error {
		return orderv1aegis.RegisterOrderServiceServer(srv, &desk{name: "a"}, aegis.WithElection(election.Config{Lease: 10 * time.Second}))
	}, aegis.WithInstance("a"), log.option())
	(&candidate{desk: &desk{name: "a"}, srv: srv}).leads(t)
	client := newOrders(t, n.Connect(t, silent()))
	acts := func() bool {
		_, err := client.PlaceOrder(t.Context(), &orderv1.PlaceOrderRequest{Id: "1"}, aegis.ToInstance("a"))
		return err == nil
	}
	eventually(t, "it acts", acts)
	for range 4 {
		cut.Store(true)
		eventually(t, "it does not act", func() bool { return !acts() })
		cut.Store(false)
		eventually(t, "it acts again", acts)
		eventually(t, "it is logged", func() bool { return log.count("did not act for a moment") > 0 })
	}
	require.Equal(t, 1, log.count("did not act for a moment"))
	for _, text := range []string{"act_window=100ms", "times=1", "raise act_window"} {
		require.Contains(t, log.String(), text)
	}
	require.NotContains(t, log.String(), "suspended")
	require.NotContains(t, log.String(), "leadership lost")
}
