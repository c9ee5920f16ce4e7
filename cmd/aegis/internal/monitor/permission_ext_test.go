package monitor_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/clitest"
	orderv1 "github.com/aegisrpc/aegis/examples/order/gen/order/v1"
	"github.com/aegisrpc/aegis/examples/order/gen/order/v1/orderv1aegis"
	"github.com/aegisrpc/aegis/internal/monitorapi"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

// startWithUsers starts a NATS server with a user "all" and a user "monitor", who has what
// aegis doctor prints for that role. It returns the URLs of both.
func startWithUsers(t *testing.T) (all, monitor string) {
	t.Helper()
	printed := clitest.Run(t, nil, "doctor", "--role", "monitor", "--print-permissions")
	require.Equal(t, 0, printed.Code, printed.Err)
	dir := t.TempDir()
	path := filepath.Join(dir, "nats.conf")
	require.NoError(t, os.WriteFile(path, []byte(`jetstream {store_dir: "`+filepath.ToSlash(filepath.Join(dir, "js"))+`"}
authorization {
  users = [
    {user: all, password: pw}
    {user: monitor, password: pw
`+printed.Out+`}
  ]
}
`), 0o600))
	n := aegistest.StartNATSWithConfig(t, path)
	as := func(user string) string { return strings.Replace(n.URL(), "://", "://"+user+":pw@", 1) }
	return as("all"), as("monitor")
}

type orders struct {
	orderv1aegis.UnimplementedOrderServiceServer
}

func (orders) OnLeading(context.Context, aegis.Term) error { return nil }

func (orders) PlaceOrder(context.Context, *orderv1.PlaceOrderRequest) (*orderv1.PlaceOrderResponse, error) {
	return &orderv1.PlaceOrderResponse{}, nil
}

// The role that the document names is enough to see everything.
func TestPermissionsOfTheDocumentAreEnough(t *testing.T) {
	t.Parallel()
	all, monitor := startWithUsers(t)
	conn, err := aegis.Connect(t.Context(), all)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(t.Context()) })
	aegistest.Serve(t, conn, func(srv *aegis.Server) error {
		return orderv1aegis.RegisterOrderServiceServer(srv, orders{})
	})
	p, url := start(t, []string{"NATS_URL=" + monitor})
	awaitOverview(t, url, "all sources are ready, and the leader is known", func(o *monitorapi.Overview) bool {
		for _, s := range o.Sources {
			if s.State != monitorapi.SourceReady || s.Problem != "" {
				return false
			}
		}
		return len(o.Sources) == 5 && len(o.Leaders) == 1 && o.Leaders[0].State == monitorapi.LeaderLeads && len(o.Leaders[0].Candidates) == 1
	})
	assert.NotContains(t, stop(t, p).Err, "ermission")
}
