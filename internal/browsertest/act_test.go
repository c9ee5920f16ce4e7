package browsertest_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/examples/order/gen/order/v1/orderv1aegis"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	"github.com/aegisrpc/aegis/runtime/aegismonitor"
)

// click clicks the button of the page, or of its dialog, whose text begins so.
func (p *tab) click(text string) {
	p.t.Helper()
	button := `[...(document.querySelector("dialog[open]") ?? document).querySelectorAll("button")].find(b => b.innerText.startsWith(` + quoted(text) + `))`
	p.await(button)
	eval[bool](p, button+".click(), true")
}

func TestAPageThatOnlyReadsHasNoButtonsToAct(t *testing.T) {
	w := newWorld(t)
	w.sendJobs(2, 0)
	b := startBrowser(t)
	p := open(t, b, w.page+"#/deadletters/"+aegistestv1aegis.JobServiceName, laptop, false)
	p.await(has("#letters", "Work"))
	require.Empty(t, eval[[]string](p, `[...document.querySelectorAll("main button, main input")].map(e => e.outerHTML)`))
	p.goTo("#/call/" + aegistestv1aegis.JobServiceName + "/Work")
	p.shows("--allow-calls")
	require.Empty(t, eval[[]string](p, `[...document.querySelectorAll("main button, main textarea")].map(e => e.outerHTML)`))
}

func TestDeadLettersArePutBackAndDeleted(t *testing.T) {
	w := newWorld(t, aegismonitor.WithChanges(), aegismonitor.WithPayloads())
	worker := w.sendJobs(3, 0)
	b := startBrowser(t)
	p := open(t, b, w.page+"#/work", laptop, false)
	p.click("Put 3 back")
	p.shows("Put 3 back?")
	p.accessible()
	p.shot("dialog")
	worker.Kill() // so that they stay where they were put
	p.click("Put 3 back")
	p.shows("3 letters were put back")
	p.click("Close")
	p.await("!" + has("main", "shipment"))
	w.start("jobs", "jobs-1", w.nats.ClientURL())
	p.await(has("main", "shipment")) // they have failed again
	p.click("Delete 3")
	p.shows("Delete 3?", "lost for good")
	p.click("Delete 3")
	p.shows("3 letters were deleted")
	p.click("Close")
	p.await("!" + has("main", "shipment"))
}

func TestAMethodIsCalled(t *testing.T) {
	w := newWorld(t, aegismonitor.WithCalls())
	w.startOrders("order-1")
	w.leader("")
	b := startBrowser(t)
	p := open(t, b, w.page+"#/call/"+orderv1aegis.OrderServiceName+"/ListOrders", laptop, true)
	p.await(`document.querySelector("main textarea")`)
	p.accessible()
	eval[bool](p, `(() => { const t = document.querySelector("main textarea"); t.value = "{}"; t.dispatchEvent(new Event("input", {bubbles: true})); return true })()`)
	p.click("Call")
	p.await(has("#outcome", "OK"))
	p.shot("call")
}
