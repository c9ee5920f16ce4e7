package howto

import (
	"context"
	"encoding/base64"
	"iter"
	"sort"

	howtov1 "github.com/aegisrpc/aegis/examples/howto/gen/howto/v1"
	"github.com/aegisrpc/aegis/examples/howto/gen/howto/v1/howtov1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// Catalog serves orders, which it has in the order of their ids.
type Catalog struct {
	howtov1aegis.UnimplementedOrderServiceServer

	orders []*howtov1.Order
}

// ListOrders returns a page. Its token is the last id of the page before.
func (c *Catalog) ListOrders(_ context.Context, req *howtov1.ListOrdersRequest) (*howtov1.ListOrdersResponse, error) {
	after, err := base64.RawURLEncoding.DecodeString(req.GetPageToken())
	if err != nil {
		return nil, aegis.NewError(aegis.CodeInvalidArgument, "page_token: this service has not made it")
	}
	size := int(req.GetPageSize())
	switch {
	case size < 0:
		return nil, aegis.NewError(aegis.CodeInvalidArgument, "page_size is negative")
	case size == 0:
		size = 100
	}
	size = min(size, 1000)
	page := c.after(string(after), size+1) // one more tells whether there is another page
	resp := &howtov1.ListOrdersResponse{}
	if len(page) > size {
		page = page[:size]
		resp.NextPageToken = base64.RawURLEncoding.EncodeToString([]byte(page[size-1].GetId()))
	}
	resp.Orders = page
	return resp, nil
}

// after is SELECT * FROM orders WHERE id > $1 ORDER BY id LIMIT $2.
func (c *Catalog) after(id string, limit int) []*howtov1.Order {
	from := sort.Search(len(c.orders), func(i int) bool { return c.orders[i].GetId() > id })
	return c.orders[from:min(from+limit, len(c.orders))]
}

// AllOrders returns all orders, which come in as many calls as there are pages.
func AllOrders(ctx context.Context, client howtov1aegis.OrderServiceClient, pageSize int32) iter.Seq2[*howtov1.Order, error] {
	return func(yield func(*howtov1.Order, error) bool) {
		req := &howtov1.ListOrdersRequest{PageSize: pageSize}
		for {
			resp, err := client.ListOrders(ctx, req)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, o := range resp.GetOrders() {
				if !yield(o, nil) {
					return
				}
			}
			if resp.GetNextPageToken() == "" {
				return
			}
			req.PageToken = resp.GetNextPageToken()
		}
	}
}
