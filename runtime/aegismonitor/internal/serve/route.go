package serve

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/aegisrpc/aegis/internal/monitorapi"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/live"
)

// handler answers a request, or returns the error to answer with.
type handler func(http.ResponseWriter, *http.Request) error

// route is one operation of the monitor.
type route struct {
	method  string
	pattern string
	handler handler
}

// routes returns all operations but the page. The document in package openapi describes
// them; a test compares the two.
func (s *Server) routes() []route {
	const get, post, api = http.MethodGet, http.MethodPost, monitorapi.Prefix
	return []route{
		{get, api + "overview", s.guarded(s.document(live.Overview))},
		{get, api + "services/{service}", s.guarded(s.document(live.Service))},
		{get, api + "services/{service}/history", s.guarded(s.history)},
		{get, api + "services/{service}/methods/{method}", s.guarded(s.reading(s.form))},
		{post, api + "services/{service}/methods/{method}/call", s.guarded(s.reading(s.call))},
		{get, api + "leaders", s.guarded(s.document(live.Leaders))},
		{get, api + "work", s.guarded(s.document(live.Work))},
		{get, api + "activity", s.guarded(s.document(live.Activity))},
		{get, api + "commands/{service}/{id}", s.guarded(s.reading(s.command))},
		{get, api + "deadletters/{service}", s.guarded(s.reading(s.letters))},
		{post, api + "deadletters/{service}/putback", s.guarded(s.reading(s.putBack))},
		{post, api + "deadletters/{service}/delete", s.guarded(s.reading(s.discard))},
		{get, api + "search", s.guarded(s.search)},
		{get, api + "openapi.json", s.guarded(s.description)},
		{get, "/metrics", s.guarded(s.metrics)},
		{get, "/healthz", s.healthy},
		{get, "/readyz", s.ready},
	}
}

// handle has the handlers of an address answer the requests with their methods, and refuses
// all others.
func (s *Server) handle(pattern string, byMethod map[string]handler) {
	if get := byMethod[http.MethodGet]; get != nil {
		byMethod[http.MethodHead] = get
	}
	allowed := strings.Join(slices.Sorted(maps.Keys(byMethod)), ", ")
	s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		h := byMethod[r.Method]
		if h == nil {
			newProblem(http.StatusMethodNotAllowed, "this address takes "+allowed).with("Allow", allowed).write(w, r)
			return
		}
		if err := h(w, r); err != nil {
			problemOf(err).write(w, r)
		}
	})
}

// mount puts all operations and the page at their addresses.
func (s *Server) mount() {
	byPattern := make(map[string]map[string]handler)
	for _, x := range s.routes() {
		if byPattern[x.pattern] == nil {
			byPattern[x.pattern] = make(map[string]handler)
		}
		byPattern[x.pattern][x.method] = x.handler
	}
	for name, asset := range s.assets {
		byPattern["/"+name] = map[string]handler{http.MethodGet: s.pageGuarded(asset.handle)}
	}
	for pattern, byMethod := range byPattern {
		s.handle(pattern, byMethod)
	}
	s.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { notFound(w, r) })
}

func notFound(w http.ResponseWriter, r *http.Request) {
	newProblem(http.StatusNotFound, "there is nothing at this address").write(w, r)
}
