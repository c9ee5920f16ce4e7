package browsertest_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/examples/order/gen/order/v1/orderv1aegis"
)

func TestThePageIsUsedByKeyboardAlone(t *testing.T) {
	w := newWorld(t)
	w.startOrders("order-1", "order-2")
	w.leader("")
	b := startBrowser(t)
	p := open(t, b, w.page, laptop, false)
	p.await(has("#services", "OrderService"))

	p.press("j", "Enter")
	p.await(`location.hash.startsWith("#/services/` + orderv1aegis.OrderServiceName + `")`)
	p.await(has("#instances", "order-2"))
	p.press("Escape")
	p.await(`location.hash.length <= 2`)
	for keys, hash := range map[string]string{"gd": "#/work", "ge": "#/activity", "gl": "#/leaders", "?": "#/help", "go": "#/"} {
		for _, key := range keys {
			p.press(string(key))
		}
		p.await(`location.hash === "` + hash + `"`)
	}
	p.press("/")
	p.await(`document.activeElement?.id === "search"`)
	for _, letter := range "order-2" {
		p.press(string(letter))
	}
	p.await(has("main", "order-2"))
	p.press("Escape", "j", "Enter")
	p.await(`location.hash.startsWith("#/services/` + orderv1aegis.OrderServiceName + `?instance=order-2")`)

	// The tabulator reaches everything, and one sees where it is.
	p.await(has("main", "Instance order-2")) // what is drawn anew would lose the focus
	p.press("Tab")
	p.await(`document.activeElement !== document.body`)
	require.NotEqual(t, "none", eval[string](p, `getComputedStyle(document.activeElement).outlineStyle`),
		"the focus is not seen at %s", eval[string](p, `document.activeElement.outerHTML`))
}
