package browsertest_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/examples/order/gen/order/v1/orderv1aegis"
	aegistestv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
)

// leads is true when the strip of a page says that an instance leads.
func leads(instance string) string {
	return fmt.Sprintf(`document.querySelector('[role=img][aria-label^="%s leads"]')`, instance)
}

// has is true when a part of the page contains a text.
func has(selector, text string) string {
	return fmt.Sprintf(`(document.querySelector(%s)?.innerText ?? "").includes(%s)`, quoted(selector), quoted(text))
}

func TestThePageFollowsTheInstancesAndTheirLeader(t *testing.T) {
	w := newWorld(t)
	w.startOrders("order-1", "order-2", "order-3")
	w.placeOrders()
	first := w.leader("")
	b := startBrowser(t)
	overview := open(t, b, w.page, laptop, false)
	overview.shows("OrderService")
	overview.await(leads(first))
	service := open(t, b, w.page+"#/services/"+orderv1aegis.OrderServiceName, laptop, true)
	for _, name := range []string{"order-1", "order-2", "order-3"} {
		service.await(has("#instances", name))
	}
	service.await(leads(first))
	service.await(has("#methods", "PlaceOrder"))

	w.orders[first].Kill()
	next := w.leader(first)
	overview.await(leads(next))
	service.await(leads(next))
	service.await(`document.querySelector("#leaders .cut")`) // the time without a leader is drawn
	service.await("!" + has("#instances", first))
	activity := open(t, b, w.page+"#/activity", laptop, false)
	activity.shows(first, next, "expired", "leader")
}

func TestThePageFollowsAQueue(t *testing.T) {
	w := newWorld(t)
	client, err := aegistestv1aegis.NewJobServiceClient(w.conn)
	require.NoError(t, err)
	send := func(n int) {
		for range n {
			_, err := client.Once(t.Context(), &aegistestv1.OnceRequest{})
			require.NoError(t, err)
		}
	}
	send(7)
	b := startBrowser(t)
	p := open(t, b, w.page+"#/work", laptop, false)
	waiting := func(n int) string {
		return fmt.Sprintf(`[...document.querySelectorAll("#queues [data-row], #queues tr")].some(row => row.innerText.includes("Once") && /(^|\s)%d(\s|$)/.test(row.innerText))`, n)
	}
	p.await(waiting(7))
	send(5)
	p.await(waiting(12))
}

func TestThePageSaysThatNATSIsAwayAndGoesOnWhenItIsBack(t *testing.T) {
	w := newWorld(t)
	w.startOrders("order-1")
	leader := w.leader("")
	b := startBrowser(t)
	p := open(t, b, w.page, laptop, true)
	p.await(leads(leader))
	w.nats.Stop()
	p.shows("not connected to NATS")
	p.shot("not-connected")
	p.accessible()
	w.startNATS()
	p.await(`!document.body.innerText.toLowerCase().includes("not connected to nats")`)
	p.await(leads(leader))
	w.startOrders("order-2")
	p.await(has("#services", "2"))
}

// A hidden tab costs nothing, and a page that was hidden is up to date when it is back.
func TestThePageSaysHowOldItsDataAre(t *testing.T) {
	w := newWorld(t)
	b := startBrowser(t)
	p := open(t, b, w.page, laptop, false)
	p.await(`document.querySelector(".age")?.innerText.match(/\d/)`)
	w.server.CloseClientConnections()
	w.monitor.Close()
	p.shows("does not answer")
	deadline := time.Now().Add(patience)
	for eval[int](p, `parseInt(document.querySelector(".age").innerText.match(/\d+/)[0])`) < 5 {
		require.False(t, time.Now().After(deadline), "the age grows")
		time.Sleep(100 * time.Millisecond)
	}
	p.shot("does-not-answer")
	p.forgive("Failed to load resource", "net::ERR")
}
