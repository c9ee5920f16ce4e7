package book

import (
	orderv1 "github.com/aegisrpc/aegis/examples/order/gen/order/v1"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// What a request may hold, and how many orders a response does.
const (
	maxID     = 64
	maxSymbol = 16
	maxPage   = 1000
)

func invalid(format string, args ...any) error {
	return aegis.Errorf(aegis.CodeInvalidArgument, format, args...)
}

// checkOrder returns an error that says what to change in a request.
func checkOrder(r *orderv1.PlaceOrderRequest) error {
	switch {
	case r.GetId() == "" || len(r.GetId()) > maxID:
		return invalid("the id has %d bytes; give the order one of 1 to %d", len(r.GetId()), maxID)
	case r.GetSymbol() == "" || len(r.GetSymbol()) > maxSymbol:
		return invalid("the symbol has %d bytes; name one of 1 to %d", len(r.GetSymbol()), maxSymbol)
	case r.GetSide() != orderv1.Side_SIDE_BUY && r.GetSide() != orderv1.Side_SIDE_SELL:
		return invalid("the side is %v; use SIDE_BUY or SIDE_SELL", r.GetSide())
	case r.GetQuantity() <= 0:
		return invalid("the quantity is %d; it has to be more than 0", r.GetQuantity())
	case r.GetPriceCents() <= 0:
		return invalid("the price is %d cents; it has to be more than 0", r.GetPriceCents())
	}
	return nil
}

// checkSame returns an error unless the request asks for what was accepted
// under its id before.
func checkSame(r *orderv1.PlaceOrderRequest, accepted *orderv1.Order) error {
	if r.GetSymbol() == accepted.GetSymbol() && r.GetSide() == accepted.GetSide() &&
		r.GetQuantity() == accepted.GetQuantity() && r.GetPriceCents() == accepted.GetPriceCents() {
		return nil
	}
	return aegis.Errorf(aegis.CodeAlreadyExists, "the order %q was accepted with other content, at sequence %d; use a new id for a new order",
		r.GetId(), accepted.GetSequence())
}

// pageLimit is how many orders a request of ListOrders asks for.
func pageLimit(r *orderv1.ListOrdersRequest) (int, error) {
	switch limit := r.GetLimit(); {
	case limit < 0:
		return 0, invalid("the limit is %d; use 1 to %d, or 0 for %d", limit, maxPage, maxPage)
	case limit == 0:
		return maxPage, nil
	default:
		return min(int(limit), maxPage), nil
	}
}
