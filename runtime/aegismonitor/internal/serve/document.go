package serve

import (
	"net/http"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/interest"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/live"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/openapi"
)

// document answers with a live document: as it is now, or with a stream of it.
func (s *Server) document(kind live.Kind) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if _, err := queryOf(r); err != nil {
			return err
		}
		v := live.View{Kind: kind}
		if kind == live.Service {
			var err error
			if v.Service, err = serviceOf(r); err != nil {
				return err
			}
		}
		w.Header().Add("Vary", "Accept")
		if r.Method == http.MethodGet && accepts(r.Header.Values("Accept"), eventStream) {
			return s.stream(w, r, v)
		}
		for _, t := range topics(kind) {
			s.config.Interest.Glance(t)
		}
		f, err := s.hub.Get(v)
		if err != nil {
			return err
		}
		c := content{kind: typeJSON, data: f.JSON, tag: f.Tag, gzip: f.Gzip}
		c.write(w, r)
		return nil
	}
}

// anHour is how far the history goes back.
const anHour = 3600

// history answers with the figures of a service, a method or an instance over time.
func (s *Server) history(w http.ResponseWriter, r *http.Request) error {
	service, err := serviceOf(r)
	if err != nil {
		return err
	}
	q, err := queryOf(r, "method", "instance", "since")
	if err != nil {
		return err
	}
	method, instance := q.text("method"), q.text("instance")
	if method != "" && instance != "" {
		return badRequest("a history is one of a method or of an instance, and not of both")
	}
	now := time.Now()
	since, err := q.number("since", uint64(now.Unix()-anHour), 0, 1<<40)
	if err != nil {
		return err
	}
	s.config.Interest.Glance(interest.Figures)
	from := time.Unix(max(int64(since), now.Unix()-anHour), 0)
	h, ok := s.config.Board.History(now, from, service, method, instance)
	if !ok {
		return newProblem(http.StatusNotFound, "nothing is known of this service, method or instance, or nothing of the last hour")
	}
	return reply(w, r, h)
}

// maxSearch bounds a text that is looked for, in characters.
const maxSearch = 200

// search answers with what has a text in its name.
func (s *Server) search(w http.ResponseWriter, r *http.Request) error {
	q, err := queryOf(r, "q")
	if err != nil {
		return err
	}
	text := q.text("q")
	if utf8.RuneCountInString(text) > maxSearch {
		return badRequest("the text to look for is longer than " + strconv.Itoa(maxSearch) + " characters")
	}
	found := s.config.Board.Search(text)
	s.addCommand(r.Context(), text, found)
	return reply(w, r, found)
}

// description answers with the OpenAPI document.
func (s *Server) description(w http.ResponseWriter, r *http.Request) error {
	if _, err := queryOf(r); err != nil {
		return err
	}
	apiDocument.write(w, r)
	return nil
}

// apiDocument is what describes the API.
var apiDocument = content{ //nolint:gochecknoglobals // it never changes
	kind: typeJSON, data: openapi.Document, tag: live.TagOf(openapi.Document),
	gzip: sync.OnceValue(func() []byte { return live.Compress(openapi.Document) }),
}
