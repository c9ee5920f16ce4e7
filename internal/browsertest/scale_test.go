package browsertest_test

import (
	"context"
	"flag"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/heapprofiler"
	"github.com/chromedp/cdproto/performance"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/monitorload/fleet"
)

var measured = flag.Duration("measured", 5*time.Second, "how long the work of a page is measured")

// Only the rows that are seen are in the page.
func TestAThousandInstancesOfAService(t *testing.T) {
	w := newWorld(t)
	f := w.fleet(1000, 1)
	b := startBrowser(t)
	p := open(t, b, w.page+"#/services/"+f.Service(0), wall, false)
	p.await(has("#instances", "1,000") + "||" + has("#instances", "1000"))
	p.shot("thousand")
	require.Less(t, eval[int](p, `document.querySelectorAll("tr").length`), 200, "rows that are not seen are in the page")
	eval[bool](p, `document.querySelector("#instances table").parentElement.scrollTop = 1e9, true`)
	p.await(has("#instances", "host-00999"))
	p.shot("thousand-end")
	p.measure("a service of 1,000 instances")
}

func TestFiftyServices(t *testing.T) {
	w := newWorld(t)
	w.fleet(1000, 50)
	b := startBrowser(t)
	p := open(t, b, w.page, laptop, false)
	p.await(has("#services", "Service049"))
	t.Logf("usable within %.0f ms of the navigation", eval[float64](p, `performance.now()`))
	p.shot("fifty")
	p.measure("the overview of 50 services")
	p.goTo("#/services/scale.v1.Service000Service")
	p.await(has("#instances", "host-00000"))
	p.measure("one of 50 services")
}

// fleet runs instances that are made up until the test ends.
func (w *world) fleet(instances, services int) *fleet.Fleet {
	w.t.Helper()
	f, err := fleet.New(w.t.Context(), w.nats.ClientURL(), instances, services)
	require.NoError(w.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	w.t.Cleanup(func() {
		cancel()
		require.NoError(w.t, <-done)
	})
	return f
}

// measure tells how much a page works, and its memory: figures for docs/benchmarks.md, and no
// assertions.
func (p *tab) measure(what string) {
	p.t.Helper()
	before, began := p.metrics(), time.Now()
	time.Sleep(*measured) // it is measured that long, and nothing is waited for
	after, seconds := p.metrics(), time.Since(began).Seconds()
	p.do(command(heapprofiler.CollectGarbage, cdp.Empty{}))
	p.t.Logf("%s: script %.1f ms a second, all work %.1f ms a second, in %.0f s; heap %.1f MB, %.1f MB without garbage", what,
		1000*(after["ScriptDuration"]-before["ScriptDuration"])/seconds,
		1000*(after["TaskDuration"]-before["TaskDuration"])/seconds, seconds,
		after["JSHeapUsedSize"]/1e6, p.metrics()["JSHeapUsedSize"]/1e6)
}

// metrics returns what the browser counts of the page.
func (p *tab) metrics() map[string]float64 {
	p.t.Helper()
	p.do(command(performance.Enable, performance.EnableParams{}))
	return run(p, func(ctx context.Context, target *chromedp.Target) (map[string]float64, error) {
		res, err := cdp.Call(ctx, target, performance.GetMetrics, cdp.Empty{})
		values := map[string]float64{}
		if err == nil {
			for _, m := range res.Metrics {
				values[m.Name] = m.Value
			}
		}
		return values, err
	})
}
