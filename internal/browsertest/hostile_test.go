package browsertest_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/wire"
)

// Whatever NATS has, the page shows it as text.
func TestHostileValuesAreShownAsText(t *testing.T) {
	w := newWorld(t)
	subjects := wire.NewSubjects(wire.DefaultNamespace)
	markup := `"><img src=x onerror="window.pwned=1"><script>window.pwned=1</script>`
	long := strings.Repeat("VeryLongName", 25)
	name := "hostile.v1." + long[:180] + "Service" // the longest that Aegis takes, or nearly so
	beat := func(service, instance, version, method, metrics string) func() {
		one := 1
		data, err := json.Marshal(wire.Heartbeat{
			Record: &wire.Instance{
				Version: &one, Service: service, Instance: instance, Process: "P" + instance, Incarnation: 1, Change: 1,
				State: "RUNNING", ServiceVersion: version, HeartbeatMS: registryHeartbeat.Milliseconds(), Methods: []string{method},
			},
			Metrics: json.RawMessage(metrics),
		})
		require.NoError(t, err)
		return func() { _ = w.conn.NATS().Publish(subjects.Beat(service, instance), data) } // while NATS is there
	}
	w.repeat(
		beat("hostile.v1.MarkupService", "markup-1", markup, "Get", `{"grade":"<b>A</b>","score":1,"findings":[{"check":"<i>","message":"`+"\u202e"+`"}]}`),
		beat("hostile.v1.MarkupService", "markup-2", markup, markup, `{"score":"NaN"}`),
		beat(name, "long-1", long, long, `{"per_minute":1e308,"latency":{"p50":-1}}`),
		beat("hostile.v1.RtlService", "rtl-1", "\u202eabc\u2066\u0000", "Get", `[]`),
	)
	b := startBrowser(t)
	for _, hash := range []string{
		"", "#/services/hostile.v1.MarkupService", "#/services/" + name, "#/services/hostile.v1.RtlService", "#/activity",
		"#/search?q=hostile", "#/services/" + long, "#/services/%22%3E%3Cimg%20src=x%20onerror=alert(1)%3E", "#/%00/../..?sort=__proto__&q=<script>",
	} {
		for _, s := range []size{phone, laptop} {
			t.Run(fmt.Sprintf("%.40s-%d", hash, s.width), func(t *testing.T) {
				p := open(t, b, w.page+hash, s, false)
				p.await(`document.querySelector("main") && !document.querySelector("main .skeleton")`)
				if hash == "" {
					p.shows("MarkupService", "RtlService")
				}
				p.fits()
				require.False(t, eval[bool](p, `"pwned" in window || document.querySelector("main img, main script") !== null`))
				p.accessible()
				p.forgive("404 (Not Found)") // of names that no service can have
			})
		}
	}
}
