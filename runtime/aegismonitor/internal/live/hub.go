// Package live shares live documents: each is made and encoded once for all who watch it,
// whenever it may have changed, and not at all while nobody does.
//
// A watcher has no queue. It takes the latest frame when it is ready for one, so that a slow
// reader misses frames, and neither holds up others nor fills memory.
package live

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aegisrpc/aegis/internal/monitorapi"
)

// MaxWatchers is how many streams a monitor has open at most, of all documents together.
const MaxWatchers = 500

const (
	// apart is the least time between two frames of a document, however much happens.
	apart = 50 * time.Millisecond
	// alive is how often a frame is shown at least, by which a page knows that its data are
	// not old; it is looked at each beat.
	alive = 1500 * time.Millisecond
	beat  = 500 * time.Millisecond
	// fresh is how old the frame of a document that nobody watches may be for a reader.
	fresh = 200 * time.Millisecond
	// recent is how many documents that nobody watches are kept for that.
	recent = 64
)

// The errors of Watch.
var (
	ErrTooMany = errors.New("too many streams of events are open")
	ErrClosed  = errors.New("the monitor is closed")
)

// Config is how a hub makes documents. All fields are needed.
type Config struct {
	// Document makes the document of a view as it is now.
	Document func(View) monitorapi.Document
	// Look is called when the first one begins to watch a view, and the function that it
	// returns when the last one has left.
	Look   func(View) (leave func())
	Logger *slog.Logger
}

// Hub shares live documents. It is safe for concurrent use.
type Hub struct {
	config    Config
	revision  atomic.Uint64
	published chan struct{} // has room for one
	urgent    chan struct{} // has room for one
	ended     chan struct{} // closed when the rounds have ended

	ctx  context.Context //nolint:containedctx // it ends with the hub
	stop context.CancelFunc

	mu       sync.Mutex // guards all below
	views    map[View]*view
	watchers int
	recent   map[View]*Frame
}

// NewHub returns a hub, which works until it is closed.
func NewHub(config Config) *Hub {
	ctx, stop := context.WithCancel(context.Background())
	h := &Hub{
		config: config, ctx: ctx, stop: stop, ended: make(chan struct{}),
		published: make(chan struct{}, 1), urgent: make(chan struct{}, 1),
		views: make(map[View]*view), recent: make(map[View]*Frame),
	}
	go h.run()
	return h
}

// Publish says that figures may have changed.
func (h *Hub) Publish() { signal(h.published) }

// Urgent says that something has changed that is to be shown at once.
func (h *Hub) Urgent() { signal(h.urgent) }

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // it is said already
	}
}

// Done returns a channel that is closed when the hub is.
func (h *Hub) Done() <-chan struct{} { return h.ctx.Done() }

// Close ends the rounds, and what Watchers wait for.
func (h *Hub) Close() {
	h.stop()
	<-h.ended
}

// run shows all views again and again.
func (h *Hub) run() {
	defer close(h.ended)
	ticker := time.NewTicker(beat)
	defer ticker.Stop()
	for {
		must := false
		select {
		case <-h.ctx.Done():
			return
		case <-h.published:
			must = true
		case <-h.urgent:
			must = true
		case <-ticker.C:
		}
		h.round(must)
		select { // what happens meanwhile is in the next round
		case <-h.ctx.Done():
			return
		case <-time.After(apart):
		}
	}
}

// round shows all views of which another frame is due.
func (h *Hub) round(changed bool) {
	now := time.Now()
	h.mu.Lock()
	due := make(map[View]*view)
	for key, v := range h.views {
		if changed || v.frame == nil || now.Sub(v.frame.made) >= alive {
			due[key] = v
		}
	}
	clear(h.recent)
	h.mu.Unlock()
	for key, v := range due {
		f, err := h.make(key)
		if err != nil {
			h.config.Logger.Error("aegismonitor: a document cannot be shown", "error", err)
			continue
		}
		h.mu.Lock()
		if v.frame == nil || v.frame.Tag != f.Tag || now.Sub(v.frame.made) >= alive {
			v.show(f)
		}
		h.mu.Unlock()
	}
}

// make makes a frame of a view as it is now.
func (h *Hub) make(key View) (*Frame, error) {
	now := time.Now()
	d := h.config.Document(key)
	d.Head().Revision = h.revision.Add(1)
	return newFrame(d, now)
}

// Get returns a view as it is now.
func (h *Hub) Get(key View) (*Frame, error) {
	h.mu.Lock()
	f := h.recent[key]
	h.mu.Unlock()
	if f != nil && time.Since(f.made) < fresh {
		return f, nil
	}
	f, err := h.make(key)
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.recent) >= recent {
		clear(h.recent)
	}
	h.recent[key] = f
	return f, nil
}

// Watchers returns how many watch now.
func (h *Hub) Watchers() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.watchers
}
