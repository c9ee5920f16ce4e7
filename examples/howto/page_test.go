package howto

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	howtov1 "github.com/aegisrpc/aegis/examples/howto/gen/howto/v1"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

func TestPagesHaveEachOrderOnce(t *testing.T) {
	conn := aegistest.Connect(t)
	catalog := &Catalog{}
	for i := range 25 {
		catalog.orders = append(catalog.orders, &howtov1.Order{Id: fmt.Sprintf("order-%02d", i)})
	}
	serveOrders(t, conn, catalog)
	client := newOrders(t, conn)
	for _, size := range []int32{0, 1, 10, 25, 5000} {
		var ids []string
		for o, err := range AllOrders(within(t), client, size) {
			require.NoError(t, err)
			ids = append(ids, o.GetId())
		}
		require.Len(t, ids, 25)
		for i, id := range ids {
			require.Equal(t, fmt.Sprintf("order-%02d", i), id)
		}
	}
	first, err := client.ListOrders(within(t), &howtov1.ListOrdersRequest{PageSize: 10})
	require.NoError(t, err)
	catalog.orders = catalog.orders[5:] // some of the first page are gone: the next page is the same
	second, err := client.ListOrders(within(t), &howtov1.ListOrdersRequest{PageSize: 10, PageToken: first.GetNextPageToken()})
	require.NoError(t, err)
	require.Equal(t, "order-10", second.GetOrders()[0].GetId())

	for _, wrong := range []*howtov1.ListOrdersRequest{{PageSize: -1}, {PageToken: "?"}} {
		_, err = client.ListOrders(within(t), wrong)
		require.Equal(t, aegis.CodeInvalidArgument, aegis.CodeOf(err))
	}
	for o, err := range AllOrders(within(t), client, 1) {
		require.NoError(t, err)
		require.Equal(t, "order-05", o.GetId())
		break // a reader may stop
	}
}
