package book

import (
	"context"
	"log/slog"
	"net/url"
	"time"

	orderv1 "github.com/aegisrpc/aegis/examples/order/gen/order/v1"
	"github.com/aegisrpc/aegis/examples/order/gen/order/v1/orderv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// tellAgain is the pause after OrderPlaced could not be published.
const tellAgain = 100 * time.Millisecond

// tell publishes OrderPlaced for each order of the book, in the order of their
// sequence, until the term ends.
//
// An order is accepted once it is in the stream, whether or not its event is
// published by then; the stream is also where the next leader finds what is left
// to be told. How far that is, each message of the stream says (headerTold). What
// was told after the last message was written is told again, under the same id,
// which the events' stream takes once within its dedupe window.
func (l *ledger) tell(ctx context.Context, events orderv1aegis.OrderServicePublisher) {
	for ctx.Err() == nil && l.lasts() == nil {
		added := l.book.added() // before the look at the book, so that nothing comes in between
		orders := l.book.page(l.published.Load(), maxPage)
		if len(orders) == 0 {
			select {
			case <-added:
			case <-ctx.Done():
			}
			continue
		}
		if err := l.tellAll(ctx, events, orders); err != nil && ctx.Err() == nil {
			slog.WarnContext(ctx, "the events of accepted orders wait", "after", l.published.Load(), "error", err)
			select {
			case <-time.After(tellAgain):
			case <-ctx.Done():
			}
		}
	}
}

// tellAll waits for each event before it publishes the next: with several on
// their way a failure would change the order of two. An order's id may hold what
// a message id may not, and is escaped.
func (l *ledger) tellAll(ctx context.Context, events orderv1aegis.OrderServicePublisher, orders []*orderv1.Order) error {
	for _, order := range orders {
		if _, err := events.OrderPlaced(ctx, &orderv1.OrderPlacedRequest{Order: order}, aegis.MessageID(url.PathEscape(order.GetId()))); err != nil {
			return err
		}
		l.published.Store(order.GetSequence())
	}
	return nil
}
