package aegisprom_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	echov1 "github.com/aegisrpc/aegis/examples/echo/gen/echo/v1"
	"github.com/aegisrpc/aegis/examples/echo/gen/echo/v1/echov1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisprom"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

func TestConnCollectorNeedsAConnection(t *testing.T) {
	_, err := aegisprom.NewConnCollector(nil)
	require.ErrorContains(t, err, "the connection to collect from is nil")
}

// The table of docs/observability.md has each metric with its labels, and no other.
func TestTheTableOfTheMetrics(t *testing.T) {
	docs, err := os.ReadFile("../../docs/observability.md")
	require.NoError(t, err)
	_, table, found := strings.Cut(string(docs), "| metric | OpenTelemetry | type | labels |")
	require.True(t, found)
	table, _, _ = strings.Cut(table, "\n## ")
	documented := map[string][]string{}
	for _, row := range regexp.MustCompile("\n\\| `(\\w+)` \\|[^|]*\\| (?:counter|gauge|histogram)[^|]*\\|([^|]*)\\|").FindAllStringSubmatch(table, -1) {
		labels := regexp.MustCompile(`\([^)]*\)`).ReplaceAllString(row[2], "")
		documented[row[1]] = []string{}
		for _, label := range regexp.MustCompile("`([\\w<>]+)`").FindAllStringSubmatch(labels, -1) {
			documented[row[1]] = append(documented[row[1]], strings.Replace(label[1], "<name>", "team_x", 1))
		}
	}
	conn := aegistest.Connect(t, aegis.WithLabels(map[string]string{"team/x": "blue"}))
	srv, _ := serve(t, conn)
	server, err := aegisprom.NewCollector(srv)
	require.NoError(t, err)
	clients, err := aegisprom.NewConnCollector(conn)
	require.NoError(t, err)
	exported := map[string][]string{}
	for _, c := range []*aegisprom.Collector{server, clients} {
		descs := make(chan *prometheus.Desc, 100)
		c.Describe(descs)
		close(descs)
		for d := range descs {
			text := regexp.MustCompile(`fqName: "(\w+)".*variableLabels: \{([^}]*)\}`).FindStringSubmatch(d.String())
			exported[text[1]] = slices.DeleteFunc(strings.Split(text[2], ","), func(l string) bool { return l == "" })
		}
	}
	require.Equal(t, documented, exported)
}

// What clients count, and that the names are as Prometheus wants them.
func TestWhatPrometheusGetsOfAConnection(t *testing.T) {
	conn := aegistest.Connect(t, aegis.WithZone("z"), aegis.WithBuild("1.2"), aegis.WithLabels(map[string]string{"team/x": "blue"}))
	_, registry := serve(t, conn, aegis.WithInstance("a"))
	c, err := aegisprom.NewConnCollector(conn)
	require.NoError(t, err)
	require.NoError(t, registry.Register(c))
	client, err := echov1aegis.NewEchoServiceClient(conn)
	require.NoError(t, err)
	for _, text := range []string{"a", ""} {
		_, err := client.Echo(t.Context(), &echov1.EchoRequest{Text: text})
		require.Equal(t, text == "", err != nil)
	}
	_, err = client.Echo(t.Context(), &echov1.EchoRequest{}, aegis.ToInstance("nobody"))
	require.ErrorIs(t, err, aegis.ErrNoResponders)
	want := `
# HELP aegis_client_requests_total Calls that have ended, streams, broadcasts, and sent commands and durable events, by code.
# TYPE aegis_client_requests_total counter
aegis_client_requests_total{code="INVALID_ARGUMENT",method="Echo",service="echo.v1.EchoService"} 1
aegis_client_requests_total{code="OK",method="Echo",service="echo.v1.EchoService"} 1
aegis_client_requests_total{code="UNAVAILABLE",method="Echo",service="echo.v1.EchoService"} 1
# HELP aegis_client_unknown_outcomes_total Calls that have failed after a handler may have run, and whose outcome is not known.
# TYPE aegis_client_unknown_outcomes_total counter
aegis_client_unknown_outcomes_total{method="Echo",service="echo.v1.EchoService"} 0
# HELP aegis_connection_up Whether the connection to NATS is up.
# TYPE aegis_connection_up gauge
aegis_connection_up 1
# HELP aegis_instance_info 1, with what the process says of itself, for joins.
# TYPE aegis_instance_info gauge
aegis_instance_info{aegis_instance="a",label_team_x="blue",node="",version="1.2",zone="z"} 1
`
	require.NoError(t, testutil.GatherAndCompare(registry, strings.NewReader(want),
		"aegis_client_requests_total", "aegis_client_unknown_outcomes_total", "aegis_connection_up", "aegis_instance_info"))
	problems, err := testutil.GatherAndLint(registry)
	require.NoError(t, err)
	require.Empty(t, problems)
}
