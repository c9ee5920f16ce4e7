package howto

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/examples/howto/gen/howto/v1/howtov1aegis"
	"github.com/aegisrpc/aegis/internal/leaktest"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

func TestMain(m *testing.M) { leaktest.Run(m) }

// patience is how long a test waits for what has to come.
const patience = 30 * time.Second

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after %v it is still not so: %s", patience, what)
		}
	}
}

// serveOrders serves orders of version 1.
func serveOrders(t *testing.T, conn *aegis.Conn, impl howtov1aegis.OrderServiceServer, opts ...aegis.ServiceOption) {
	t.Helper()
	aegistest.Serve(t, conn, func(srv *aegis.Server) error { return howtov1aegis.RegisterOrderServiceServer(srv, impl, opts...) })
}

func newOrders(t *testing.T, conn *aegis.Conn, opts ...aegis.ClientOption) howtov1aegis.OrderServiceClient {
	t.Helper()
	client, err := howtov1aegis.NewOrderServiceClient(conn, opts...)
	require.NoError(t, err)
	return client
}
