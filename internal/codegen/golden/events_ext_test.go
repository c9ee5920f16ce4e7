package golden_test

import (
	"context"
	"testing"
	"time"

	eventsv1 "github.com/aegisrpc/aegis/internal/codegen/golden/events"
	"github.com/aegisrpc/aegis/internal/codegen/golden/events/eventsv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

// Every event that is published reaches the handler of its name.
func TestEveryGeneratedEventIsHandled(t *testing.T) {
	t.Parallel()
	conn := aegistest.Connect(t)
	handled := make(chan string, 10)
	tell := func(what string) func(context.Context, *eventsv1.TickedRequest) error {
		return func(_ context.Context, ev *eventsv1.TickedRequest) error {
			handled <- what + " " + ev.GetSymbol()
			return nil
		}
	}
	tellTrade := func(what string) func(context.Context, *eventsv1.TradedRequest) error {
		return func(_ context.Context, ev *eventsv1.TradedRequest) error {
			handled <- what + " " + ev.GetTrade().GetSymbol()
			return nil
		}
	}
	aegistest.Serve(t, conn, func(srv *aegis.Server) error {
		if err := eventsv1aegis.SubscribeNewsServiceEvents(srv, eventsv1aegis.NewsServiceEvents{Published: tell("published")}, aegis.EachInstance()); err != nil {
			return err
		}
		return eventsv1aegis.SubscribeMarketServiceEvents(srv, eventsv1aegis.MarketServiceEvents{
			Ticked: tell("ticked"), Traded: tellTrade("traded"), Closed: tellTrade("closed"), //nolint:staticcheck // deprecated on purpose
		}, aegis.Compete("test"))
	})
	market, err := eventsv1aegis.NewMarketServicePublisher(conn)
	if err != nil {
		t.Fatal(err)
	}
	news, err := eventsv1aegis.NewNewsServicePublisher(conn)
	if err != nil {
		t.Fatal(err)
	}
	trade := &eventsv1.TradedRequest{Trade: &eventsv1.TradedRequest_Trade{Symbol: "x"}}
	want := map[string]int{"ticked x": 1, "published x": 1, "traded x": 2, "closed x": 2}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(market.Ticked(t.Context(), &eventsv1.TickedRequest{Symbol: "x"}))
	check(news.Published(t.Context(), &eventsv1.TickedRequest{Symbol: "x"}))
	_, err = market.Traded(t.Context(), trade)
	check(err)
	_, err = market.Closed(t.Context(), trade) //nolint:staticcheck // see above
	check(err)
	for _, publish := range []func(context.Context, *eventsv1.TradedRequest, ...aegis.PublishOption) (*aegis.PubFuture, error){
		market.TradedAsync, market.ClosedAsync, //nolint:staticcheck // see above
	} {
		future, err := publish(t.Context(), trade)
		check(err)
		_, err = future.Ack(t.Context())
		check(err)
	}
	for len(want) > 0 {
		select {
		case what := <-handled:
			if want[what]--; want[what] == 0 {
				delete(want, what)
			}
		case <-time.After(30 * time.Second):
			t.Fatalf("not handled: %v", want)
		}
	}
}
