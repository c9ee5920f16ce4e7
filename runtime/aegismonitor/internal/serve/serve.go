// Package serve serves a monitor over HTTP: its page, its live documents, as JSON or as
// server-sent events at the same address, and what users may do.
package serve

import (
	"context"
	"io/fs"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/aegisrpc/aegis/internal/monitorapi"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisadmin"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/access"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/board"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/interest"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/live"
	"github.com/aegisrpc/aegis/runtime/aegisreflect"
)

// Config is how a monitor is served. All fields are needed.
type Config struct {
	Conn     *aegis.Conn
	Board    *board.Board
	Interest *interest.Interest
	Guard    *access.Guard
	// May is what every user may do.
	May    monitorapi.May
	Logger *slog.Logger
	// Page has the files of the page, with index.html at its root.
	Page fs.FS
	// Metrics makes what answers scrapes of Prometheus. It is given how many streams are open.
	Metrics func(streams func() int) http.Handler
}

// Server serves a monitor over HTTP. It is safe for concurrent use.
type Server struct {
	config   Config
	admin    *aegisadmin.Admin
	resolver *aegisreflect.Resolver
	hub      *live.Hub
	mux      *http.ServeMux
	assets   map[string]*asset
	scrapes  http.Handler
	origin   *http.CrossOriginProtection
	turns    chan struct{} // one for each request that reads from NATS now

	ctx  context.Context //nolint:containedctx // it ends with the server
	stop context.CancelFunc

	mu       sync.Mutex // guards closed, and requests while it is false
	closed   bool
	requests sync.WaitGroup
}

// New returns a server, which works until it is closed.
func New(c Config) (*Server, error) {
	assets, err := readAssets(c.Page)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	s := &Server{
		config: c, admin: aegisadmin.New(c.Conn), resolver: aegisreflect.New(c.Conn), mux: http.NewServeMux(), assets: assets,
		origin: http.NewCrossOriginProtection(), turns: make(chan struct{}, maxReading), ctx: ctx, stop: stop,
	}
	s.hub = live.NewHub(live.Config{Document: s.make, Look: s.look, Logger: c.Logger})
	s.scrapes = c.Metrics(s.hub.Watchers)
	s.mount()
	return s, nil
}

// Publish says that figures may have changed.
func (s *Server) Publish() { s.hub.Publish() }

// Urgent says that something has changed that is to be shown at once.
func (s *Server) Urgent() { s.hub.Urgent() }

// Close ends all requests and streams, and waits until they have ended.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.stop()
	s.hub.Close()
	s.requests.Wait()
}

// enter begins a request, whose context ends with the server. It returns false if that is
// closed.
func (s *Server) enter(r *http.Request) (inside *http.Request, leave func(), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return r, nil, false
	}
	s.requests.Add(1)
	ctx, cancel := context.WithCancel(r.Context())
	unhook := context.AfterFunc(s.ctx, cancel)
	return r.WithContext(ctx), func() {
		unhook()
		cancel()
		s.requests.Done()
	}, true
}

// ServeHTTP answers a request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for key, value := range headers {
		w.Header().Set(key, value)
	}
	r, leave, ok := s.enter(r)
	if !ok {
		busy(10*time.Second, "the monitor is closed").write(w, r)
		return
	}
	defer leave()
	switch {
	case r.URL.Path == "" && (r.Method == http.MethodGet || r.Method == http.MethodHead):
		toSlash(w, r)
	case r.Method == http.MethodConnect, !plain(r.URL):
		notFound(w, r)
	default:
		s.mux.ServeHTTP(w, r)
	}
}

// make makes the document of a view.
func (s *Server) make(v live.View) monitorapi.Document {
	d := s.documentOf(v, time.Now())
	d.Head().May = s.config.May
	return d
}

func (s *Server) documentOf(v live.View, now time.Time) monitorapi.Document {
	switch v.Kind {
	case live.Service:
		return s.config.Board.Service(now, v.Service)
	case live.Leaders:
		return s.config.Board.Leaders(now)
	case live.Work:
		return s.config.Board.Work(now)
	case live.Activity:
		return s.config.Board.Activity(now)
	case live.Overview:
	}
	return s.config.Board.Overview(now)
}

// topics returns what has to be read often while a view is watched.
func topics(k live.Kind) []interest.Topic {
	switch k {
	case live.Leaders:
		return []interest.Topic{interest.Figures}
	case live.Work:
		return []interest.Topic{interest.Work}
	case live.Activity:
		return nil
	case live.Overview, live.Service:
	}
	return []interest.Topic{interest.Figures, interest.Work}
}

// look begins to look at what a view shows.
func (s *Server) look(v live.View) (leave func()) {
	var leaves []func()
	for _, t := range topics(v.Kind) {
		leaves = append(leaves, s.config.Interest.Look(t))
	}
	return func() {
		for _, leave := range leaves {
			leave()
		}
	}
}

// metrics answers a scrape of Prometheus.
func (s *Server) metrics(w http.ResponseWriter, r *http.Request) error {
	s.scrapes.ServeHTTP(w, r)
	return nil
}
