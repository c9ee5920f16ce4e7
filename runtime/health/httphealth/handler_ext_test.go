package httphealth_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/runtime/health/httphealth"
)

func ask(h http.Handler, method, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, path, nil))
	return w
}

func TestProbes(t *testing.T) {
	draining := errors.New("the server is STOPPING")
	type key struct{}
	h := httphealth.Handler(nil, func(ctx context.Context) error {
		if ctx.Value(key{}) != nil {
			return nil
		}
		return draining
	})
	live := ask(h, http.MethodGet, httphealth.LivePath)
	require.Equal(t, http.StatusOK, live.Code)
	require.Equal(t, "ok\n", live.Body.String())
	require.Equal(t, "no-store", live.Header().Get("Cache-Control"))

	ready := ask(h, http.MethodGet, httphealth.ReadyPath)
	require.Equal(t, http.StatusServiceUnavailable, ready.Code)
	require.Equal(t, "the server is STOPPING\n", ready.Body.String())

	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, httphealth.ReadyPath, nil).WithContext(context.WithValue(t.Context(), key{}, 1)))
	require.Equal(t, http.StatusOK, w.Code, "the probe gets the request's context")

	require.Equal(t, http.StatusOK, ask(h, http.MethodHead, httphealth.LivePath).Code)
	require.Equal(t, http.StatusMethodNotAllowed, ask(h, http.MethodPost, httphealth.LivePath).Code)
	require.Equal(t, http.StatusNotFound, ask(h, http.MethodGet, "/").Code)
}
