package aegismonitor

import (
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/access"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/board"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/collect"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/interest"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/metrics"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/page"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/serve"
)

// Monitor is a running monitor, and the handler of its page and its API. It is safe for
// concurrent use.
type Monitor struct {
	server  *serve.Server
	reading *collect.Collector
	closing sync.Once
}

var _ http.Handler = (*Monitor)(nil)

// New starts a monitor of the namespace of a connection, which reads until it is closed. It
// does not wait for what it reads, and works while NATS is away. It returns an error for
// options that cannot be meant, such as an empty token.
func New(conn *aegis.Conn, opts ...Option) (*Monitor, error) {
	if conn == nil {
		return nil, errors.New("aegismonitor: the connection is nil")
	}
	c, err := newConfig(opts)
	if err != nil {
		return nil, fmt.Errorf("aegismonitor: %w", err)
	}
	m := &Monitor{}
	b := board.New(board.Config{Namespace: conn.Namespace(), Urgent: func() { m.server.Urgent() }}, time.Now())
	looks := &interest.Interest{}
	m.server, err = serve.New(serve.Config{
		Conn: conn, Board: b, Interest: looks, Guard: access.New(c.access), May: c.may, Logger: c.logger,
		Page: page.Files(), Metrics: func(streams func() int) http.Handler { return metrics.Handler(b, streams) },
	})
	if err != nil {
		return nil, fmt.Errorf("aegismonitor: %w", err)
	}
	m.reading = collect.Start(conn, b, looks, collect.Config{Logger: c.logger, Round: m.server.Publish})
	return m, nil
}

// ServeHTTP serves the page and the API below the path of a request, from which the path that
// the monitor is mounted under is removed, as by [http.StripPrefix].
func (m *Monitor) ServeHTTP(w http.ResponseWriter, r *http.Request) { m.server.ServeHTTP(w, r) }

// Close ends reading, all requests and all open streams of events, and waits for them.
// Requests that come later are refused. The connection stays open. Further calls do nothing.
func (m *Monitor) Close() {
	m.closing.Do(func() {
		m.server.Close()
		m.reading.Stop()
	})
}
