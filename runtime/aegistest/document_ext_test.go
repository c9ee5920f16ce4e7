package aegistest_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	orderv1 "github.com/aegisrpc/aegis/examples/order/gen/order/v1"
	"github.com/aegisrpc/aegis/examples/order/gen/order/v1/orderv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

// The tests of docs/testing.md, as they are there.

func TestOrderIsPlaced(t *testing.T) {
	conn := aegistest.Connect(t)
	aegistest.Serve(t, conn, func(srv *aegis.Server) error {
		return orderv1aegis.RegisterOrderServiceServer(srv, desk{})
	})
	client, err := orderv1aegis.NewOrderServiceClient(conn)
	require.NoError(t, err)
	res, err := client.PlaceOrder(t.Context(), &orderv1.PlaceOrderRequest{Id: "1"})
	require.NoError(t, err)
	require.Equal(t, "1", res.GetOrder().GetId())
}

func TestAnotherLeads(t *testing.T) {
	n := aegistest.StartNATS(t)
	register := func(srv *aegis.Server) error {
		return orderv1aegis.RegisterOrderServiceServer(srv, desk{})
	}
	a := aegistest.Start(t, n.Connect(t), register)
	b := aegistest.Start(t, n.Connect(t), register)
	first := aegistest.Leader(t, orderv1aegis.OrderServiceName, "default", a, b)
	first.Kill()
	second := aegistest.Leader(t, orderv1aegis.OrderServiceName, "default", a, b)
	require.NotSame(t, first, second)
}

func TestDocumentShowsTestsThatAreRun(t *testing.T) {
	t.Parallel()
	names, err := filepath.Glob("*_test.go")
	require.NoError(t, err)
	example, err := filepath.Glob("../../examples/payments/*_test.go")
	require.NoError(t, err)
	var tests strings.Builder
	for _, name := range append(names, example...) {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		tests.Write(text)
	}
	text, err := os.ReadFile("../../docs/testing.md")
	require.NoError(t, err)
	blocks := regexp.MustCompile("(?s)```go\n(.*?\n)```").FindAllStringSubmatch(string(text), -1)
	require.GreaterOrEqual(t, len(blocks), 2)
	for _, block := range blocks {
		require.Contains(t, tests.String(), block[1])
	}
}
