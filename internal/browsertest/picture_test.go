package browsertest_test

import (
	"fmt"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/examples/order/gen/order/v1/orderv1aegis"
	"github.com/aegisrpc/aegis/internal/procs"
	aegistestv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
)

// Each view in each theme and size: nothing is wider than the window, and axe-core has nothing
// to say. The pictures are for people to look at, and docs/monitor.md shows some of them.
func TestPictures(t *testing.T) {
	w := newWorld(t)
	w.startOrders("order-1", "order-2", "order-3")
	w.placeOrders()
	first := w.leader("")
	w.watched(first)
	w.orders[first].Kill() // a gap to look at
	w.leader(first)
	w.startOrders("order-4")
	w.sendJobs(3, 12)
	b := startBrowser(t)
	for name, view := range map[string]struct{ hash, ready string }{
		"overview": {"", has("#letters", "Work")},
		"service":  {"#/services/" + orderv1aegis.OrderServiceName, has("#instances", "order-4")},
		"leaders":  {"#/leaders", `document.querySelector("main .cut")`},
		"work":     {"#/work", has("#queues", "Once")},
		"letters":  {"#/deadletters/" + aegistestv1aegis.JobServiceName, has("#letters", "Work")},
		"activity": {"#/activity", has("main", first)},
		"search":   {"#/search?q=order", has("main", "order-4")},
		"help":     {"#/help", has("main", "search")},
		"lost":     {"#/no/such/page", has("main", "leads nowhere")},
		"unknown":  {"#/services/order.v1.Oder", has("main", "Oder")},
	} {
		for _, s := range []size{phone, laptop, wall} {
			for _, dark := range []bool{false, true} {
				theme := map[bool]string{true: "dark", false: "light"}[dark]
				t.Run(fmt.Sprintf("%s-%d-%s", name, s.width, theme), func(t *testing.T) {
					p := open(t, b, w.page+view.hash, s, dark)
					p.await(view.ready)
					p.fits()
					p.shot(fmt.Sprintf("%s-%d-%s", name, s.width, theme))
					p.accessible()
				})
			}
		}
	}
}

// All is told by shapes and words as well: the picture is what somebody sees who does not tell
// red from green.
func TestThePageWithoutRedAndGreen(t *testing.T) {
	w := newWorld(t)
	w.startOrders("order-1", "order-2", "order-3")
	first := w.leader("")
	w.watched(first)
	w.orders[first].Kill()
	b := startBrowser(t)
	p := open(t, b, w.page, laptop, false)
	p.do(command(emulation.SetEmulatedVisionDeficiency, emulation.SetEmulatedVisionDeficiencyParams{
		Type: emulation.SetEmulatedVisionDeficiencyTypeDeuteranopia,
	}))
	p.shows(first+" is lost", "needs attention")
	p.shot("without-red-and-green")
}

func TestAnEmptyPageSaysWhatWouldBeThere(t *testing.T) {
	w := newWorld(t)
	b := startBrowser(t)
	for _, dark := range []bool{false, true} {
		p := open(t, b, w.page, laptop, dark)
		p.shows("no service is running", "aegis init")
		p.shot(fmt.Sprintf("empty-%v", dark))
		p.accessible()
	}
}

// sendJobs has commands that are buried, and others that wait, and returns their worker.
func (w *world) sendJobs(buried, waiting int) (worker *procs.Process) {
	w.t.Helper()
	client, err := aegistestv1aegis.NewJobServiceClient(w.conn)
	require.NoError(w.t, err)
	worker = w.start("jobs", "jobs-1", w.nats.ClientURL())
	for i := range buried {
		_, err := client.Work(w.t.Context(), &aegistestv1.WorkRequest{Text: fmt.Sprintf("shipment %d", i)})
		require.NoError(w.t, err)
	}
	for range waiting {
		_, err := client.Once(w.t.Context(), &aegistestv1.OnceRequest{})
		require.NoError(w.t, err)
	}
	return worker
}
