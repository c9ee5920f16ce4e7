package howto

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/examples/howto/gen/howto/v1/howtov1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

func TestObservedServerHasMetricsAndProbes(t *testing.T) {
	srv := aegistest.Serve(t, aegistest.Connect(t), func(srv *aegis.Server) error {
		return howtov1aegis.RegisterOrderServiceServer(srv, &Catalog{})
	})
	handler, err := Observed(srv)
	require.NoError(t, err)
	for path, says := range map[string]string{"/metrics": "aegis_server_ready{", "/livez": "", "/readyz": ""} {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
		require.Equal(t, http.StatusOK, w.Code, path)
		require.Contains(t, w.Body.String(), says)
	}
	_, err = Observed(nil)
	require.Error(t, err)
}
