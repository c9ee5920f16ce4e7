package deploytest_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/boardtest"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/metrics"
)

// ofMonitor returns all that a monitor exports which sees one of everything.
func ofMonitor(t *testing.T) prometheus.Gatherer {
	t.Helper()
	out := httptest.NewRecorder()
	handler := metrics.Handler(boardtest.Full(time.Now()), func() int { return 1 })
	handler.ServeHTTP(out, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	require.Equal(t, http.StatusOK, out.Code)
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(out.Body)
	require.NoError(t, err)
	return prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
		var list []*dto.MetricFamily
		for _, f := range families {
			list = append(list, f)
		}
		return list, nil
	})
}
