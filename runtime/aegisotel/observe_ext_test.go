package aegisotel_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisotel"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

func TestObserversNeedSomethingToObserve(t *testing.T) {
	_, err := aegisotel.ObserveConn(nil)
	require.ErrorContains(t, err, "the connection to observe is nil")
	_, err = aegisotel.ObserveServer(nil)
	require.ErrorContains(t, err, "the server to observe is nil")
}

// noting is a provider whose meter notes the kinds of the instruments by their names.
type noting struct {
	noop.MeterProvider

	kinds map[string]string
}

func (n *noting) Meter(string, ...metric.MeterOption) metric.Meter { return notingMeter{to: n} }

type notingMeter struct {
	noop.Meter

	to *noting
}

func (m notingMeter) Float64ObservableCounter(name string, o ...metric.Float64ObservableCounterOption) (metric.Float64ObservableCounter, error) {
	m.to.kinds[name] = "counter"
	return m.Meter.Float64ObservableCounter(name, o...)
}

func (m notingMeter) Float64ObservableGauge(name string, o ...metric.Float64ObservableGaugeOption) (metric.Float64ObservableGauge, error) {
	m.to.kinds[name] = "gauge"
	return m.Meter.Float64ObservableGauge(name, o...)
}

// The table of docs/observability.md has each metric with its type, and no other.
func TestTheTableOfTheObservedMetrics(t *testing.T) {
	docs, err := os.ReadFile("../../docs/observability.md")
	require.NoError(t, err)
	_, table, found := strings.Cut(string(docs), "| metric | OpenTelemetry | type | labels |")
	require.True(t, found)
	table, _, _ = strings.Cut(table, "\n## ")
	documented := map[string]string{}
	for _, row := range regexp.MustCompile("\n\\| `\\w+` \\| `([\\w.]+)` \\| (counter|gauge)").FindAllStringSubmatch(table, -1) {
		documented[row[1]] = row[2]
	}
	conn := aegistest.Connect(t)
	srv := aegistest.Serve(t, conn, func(srv *aegis.Server) error {
		return aegistestv1aegis.RegisterProbeServiceServer(srv, probe{})
	})
	to := &noting{kinds: map[string]string{}}
	_, err = aegisotel.ObserveConn(conn, aegisotel.WithMeterProvider(to))
	require.NoError(t, err)
	_, err = aegisotel.ObserveServer(srv, aegisotel.WithMeterProvider(to))
	require.NoError(t, err)
	require.Equal(t, documented, to.kinds)
}

func TestObservedFigures(t *testing.T) {
	conn := aegistest.Connect(t, aegis.WithZone("z"))
	client, err := aegistestv1aegis.NewProbeServiceClient(conn)
	require.NoError(t, err)
	_, err = client.Get(t.Context(), &testv1.GetRequest{})
	require.ErrorIs(t, err, aegis.ErrNoResponders)
	srv := aegistest.Serve(t, conn, func(srv *aegis.Server) error {
		return aegistestv1aegis.RegisterProbeServiceServer(srv, probe{})
	}, aegis.WithInstance("a"))
	reader := sdkmetric.NewManualReader()
	meters := aegisotel.WithMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)))
	clients, err := aegisotel.ObserveConn(conn, meters)
	require.NoError(t, err)
	server, err := aegisotel.ObserveServer(srv, meters)
	require.NoError(t, err)
	found := observed(t, reader)
	require.Equal(t, map[string]float64{"aegis.method=Get aegis.service=aegistest.v1.ProbeService": 3}, withMethod(found["aegis.client.retries"], "Get"))
	require.Equal(t, map[string]float64{"": 1}, found["aegis.connection.up"])
	require.Equal(t, map[string]float64{"aegis.instance=a": 1}, found["aegis.server.ready"])
	require.Equal(t, map[string]float64{"aegis.instance=a aegis.node= aegis.version= aegis.zone=z": 1}, found["aegis.instance.info"])

	require.NoError(t, clients.Unregister())
	require.NoError(t, server.Unregister())
	require.Empty(t, observed(t, reader))
}

// withMethod returns the values of one method.
func withMethod(values map[string]float64, method string) map[string]float64 {
	of := map[string]float64{}
	for attributes, v := range values {
		if strings.Contains(attributes, "aegis.method="+method+" ") {
			of[attributes] = v
		}
	}
	return of
}

// observed returns the values by name and attributes.
func observed(t *testing.T, reader *sdkmetric.ManualReader) map[string]map[string]float64 {
	t.Helper()
	var data metricdata.ResourceMetrics
	require.NoError(t, reader.Collect(t.Context(), &data))
	found := map[string]map[string]float64{}
	for _, scope := range data.ScopeMetrics {
		for _, m := range scope.Metrics {
			found[m.Name] = map[string]float64{}
			var points []metricdata.DataPoint[float64]
			switch d := m.Data.(type) {
			case metricdata.Gauge[float64]:
				points = d.DataPoints
			case metricdata.Sum[float64]:
				require.True(t, d.IsMonotonic, m.Name)
				points = d.DataPoints
			}
			for _, p := range points {
				var attributes []string
				for _, kv := range p.Attributes.ToSlice() {
					attributes = append(attributes, string(kv.Key)+"="+kv.Value.String())
				}
				found[m.Name][strings.Join(attributes, " ")] = p.Value
			}
		}
	}
	return found
}
