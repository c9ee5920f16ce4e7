package collect_test

import (
	"context"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/monitorapi"
	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

func jetStream(t *testing.T, conn *aegis.Conn) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(conn.NATS())
	require.NoError(t, err)
	return js
}

func deleteStream(t *testing.T, conn *aegis.Conn, name string) error {
	t.Helper()
	return jetStream(t, conn).DeleteStream(context.Background(), name)
}

func TestHostileRepliesAreIgnored(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	serveProbe(t, n.Connect(t), "a")
	foe := n.Connect(t).NATS()
	long := strings.Repeat("x", 300)
	w := watch(t, n.Connect(t))
	eventually(t, "a is known", func() bool { return len(w.counted()) == 1 })
	process := w.counted()[0]
	known := `"type":"io.nats.micro.v1.stats_response","name":"aegistest-v1-ProbeService","id":"` + process +
		`","metadata":{"service":"aegistest.v1.ProbeService","namespace":"aegis"}`
	_, err := foe.Subscribe("$SRV.STATS.*", func(msg *nats.Msg) {
		for _, body := range []string{
			"", "garbage", "[]", "null", "{}", "\xff\xfe", strings.Repeat("[", 10000),
			`{"type":"io.nats.micro.v1.stats_response","name":"` + long + `","id":"` + long + `","metadata":{"service":"` + long + `"}}`,
			`{"type":"io.nats.micro.v1.stats_response","name":"aegistest-v1-ProbeService","id":"nobody","metadata":{"service":"aegistest.v1.ProbeService","namespace":"aegis"}}`,
			`{` + known + `,"endpoints":[{"name":"Do","num_requests":"NaN"}]}`,
			`{` + known + `,"endpoints":[{"name":"Do","num_requests":1e400}]}`,
			`{` + known + `,"endpoints":null}`,
			`{` + known + `,"endpoints":[{"name":"` + long + `","num_requests":5},{"name":"<b>","num_requests":5},` +
				`{"name":"Do","num_requests":-5},{"name":"Quick","num_requests":7,"num_errors":9,"data":{"in_flight":"NaN","spread":{"99999":1}}}]}`,
		} {
			_ = msg.Respond([]byte(body))
		}
	})
	require.NoError(t, err)
	require.NoError(t, foe.Flush())
	eventually(t, "what can be read is", func() bool { return w.with(func() bool { return w.most["Quick"] == 7 }) })
	w.note(func() {
		for _, s := range w.stats {
			require.Equal(t, process, s.Process)
			for i := range s.Methods {
				require.Less(t, len(s.Methods[i].Method), 100)
				require.NotEqual(t, "<b>", s.Methods[i].Method)
				require.LessOrEqual(t, s.Methods[i].Counts.Errors, s.Methods[i].Counts.Requests)
			}
		}
	})
	eventually(t, "it is told", func() bool { return w.problem(monitorapi.SourceFigures) != "" })
	require.True(t, w.is(monitorapi.SourceFigures, monitorapi.SourceReady))
	_, err = newProbes(t, n).Do(t.Context(), &testv1.DoRequest{})
	require.NoError(t, err)
	eventually(t, "the true figures still come", func() bool { return w.with(func() bool { return w.most["Do"] == 1 }) })
}

func TestHostileRecordsAndAnnouncementsHideNoLeader(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	serveOrders(t, n.Connect(t), "a")
	foe := n.Connect(t)
	w := watch(t, n.Connect(t))
	first := w.leader(t)
	for _, key := range []string{
		"KV.aegis-leaders.order.v1.OrderService.garbage.1", "KV.aegis-leaders.x", "KV.aegis-leaders.." + "y",
		"KV.aegis-registry.order.v1.OrderService.zombie", "KV.aegis-registry.z",
	} {
		for _, body := range []string{"garbage", `{"v":99,"process":"x"}`} {
			_ = foe.NATS().Publish("$"+key, []byte(body))
		}
	}
	for subject, body := range map[string]string{
		"aegis.led.order.v1.OrderService.default":                     `{"term":99999999999999999999,"instance":"z"}`,
		"aegis.led.order.v1.OrderService.other":                       `{"term":"NaN","instance":"z"}`,
		"aegis.led.order.v1.OrderService.third":                       `{"term":1,"instance":"` + strings.Repeat("z", 300) + `"}`,
		"aegis.led.x":                                                 `{"term":1,"instance":"z"}`,
		"aegis.led.order.v1.OrderService.<b>":                         `{"term":1,"instance":"z"}`,
		"aegis.led.order.v1.OrderService." + strings.Repeat("g", 300): `{"term":1,"instance":"z"}`,
		"aegis.led.nobody.v1.Service." + strings.Repeat("g", 3):       `{"term":1,"instance":"z"}`,
		"aegis.beat.order.v1.OrderService.z":                          "garbage",
	} {
		require.NoError(t, foe.NATS().Publish(subject, []byte(body)))
	}
	require.Equal(t, first, w.leader(t))
	eventually(t, "the record that is none is told", func() bool {
		return strings.Contains(w.problem(monitorapi.SourceLeaders), "group garbage")
	})
	require.True(t, w.is(monitorapi.SourceLeaders, monitorapi.SourceReady))
	w.note(func() { require.Len(t, w.leaders, 1, "%v", w.leaders) })
}
