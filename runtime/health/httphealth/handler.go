// Package httphealth answers liveness and readiness probes over HTTP, as Kubernetes and
// load balancers send them. It is a package of its own so that only programs that import
// it link net/http.
package httphealth

import (
	"context"
	"io"
	"net/http"
)

// Paths that the handler answers. Mount it with http.StripPrefix to have them
// elsewhere.
const (
	LivePath  = "/livez"
	ReadyPath = "/readyz"
)

// Probe returns nil if all is well, else an error that says what is wrong. It has to be
// quick and safe for concurrent use. ctx is that of the HTTP request.
type Probe func(ctx context.Context) error

// Handler answers GET and HEAD of [LivePath] and [ReadyPath]: 200 and "ok" if the probe
// returns nil, else 503 and the error's text, which everybody can read who reaches the
// handler. A nil probe counts as one that returns nil.
//
// live should return an error only where a restart helps. An instance that is draining,
// has lost NATS or is unhealthy by a check is alive, and not ready.
func Handler(live, ready Probe) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET "+LivePath, answer(live))
	mux.Handle("GET "+ReadyPath, answer(ready))
	return mux
}

func answer(probe Probe) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Type", "text/plain; charset=utf-8")
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		text := "ok\n"
		if probe != nil {
			if err := probe(r.Context()); err != nil {
				w.WriteHeader(http.StatusServiceUnavailable)
				text = err.Error() + "\n"
			}
		}
		_, _ = io.WriteString(w, text) // it fails only if the prober has gone away
	})
}
