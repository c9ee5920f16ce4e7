package serve

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/live"
)

const (
	eventStream = "text/event-stream"
	// keepAlive is after how long without a document a comment is sent, so that no proxy
	// takes the stream for dead.
	keepAlive = 15 * time.Second
	// writeTimeout is how long a reader may take to take one event.
	writeTimeout = 15 * time.Second
)

// stream sends a live document again and again, until the reader or the monitor is gone.
func (s *Server) stream(w http.ResponseWriter, r *http.Request, v live.View) error {
	watcher, err := s.hub.Watch(v)
	switch {
	case errors.Is(err, live.ErrTooMany):
		return busy(5*time.Second,
			strconv.Itoa(live.MaxWatchers)+" streams of events are open, and no more may be; close some, or ask for the documents without streams")
	case err != nil:
		return busy(10*time.Second, "the monitor is closed")
	}
	defer watcher.Close()
	f, err := watcher.Next(r.Context(), keepAlive)
	if err != nil || f == nil {
		return busy(5*time.Second, "the document cannot be made now")
	}
	out := newEvents(w)
	defer out.endWith(r.Context())()
	for err == nil {
		if f != nil {
			err = out.document(f)
		} else {
			err = out.comment()
		}
		if err == nil {
			f, err = watcher.Next(r.Context(), keepAlive)
		}
	}
	return nil // the stream is the answer, and has ended
}

// events writes server-sent events.
type events struct {
	w       http.ResponseWriter
	control *http.ResponseController
	buffer  bytes.Buffer

	mu    sync.Mutex // guards ended, and the deadline of writing
	ended bool
}

// newEvents begins the answer.
func newEvents(w http.ResponseWriter) *events {
	w.Header().Set("Content-Type", eventStream)
	w.Header().Set("X-Accel-Buffering", "no") // nginx passes each event on at once
	e := &events{w: w, control: http.NewResponseController(w)}
	// The timeouts of the server are those of short requests. Where they cannot be changed,
	// they end the stream, and the reader comes again.
	_ = e.control.SetReadDeadline(time.Time{})
	w.WriteHeader(http.StatusOK)
	return e
}

// endWith has a write that waits for a slow reader end with a context. The function that it
// returns undoes that, and must be called before the handler returns.
func (e *events) endWith(ctx context.Context) (undo func()) {
	done := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(done)
		e.mu.Lock()
		defer e.mu.Unlock()
		e.ended = true
		_ = e.control.SetWriteDeadline(time.Now())
	})
	return func() {
		if !stop() {
			<-done
		}
	}
}

var errEnded = errors.New("the stream has ended")

// extend gives the reader time for one event more.
func (e *events) extend() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ended {
		return errEnded
	}
	_ = e.control.SetWriteDeadline(time.Now().Add(writeTimeout)) // not every connection can do that
	return nil
}

func (e *events) document(f *live.Frame) error {
	e.buffer.Reset()
	e.buffer.WriteString("event: document\nid: ")
	e.buffer.WriteString(strconv.FormatUint(f.Revision, 10))
	e.buffer.WriteString("\ndata: ")
	return e.write(e.buffer.Bytes(), f.JSON, []byte("\n\n"))
}

func (e *events) comment() error { return e.write([]byte(":\n\n")) }

func (e *events) write(parts ...[]byte) error {
	if err := e.extend(); err != nil {
		return err
	}
	for _, p := range parts {
		if _, err := e.w.Write(p); err != nil {
			return err
		}
	}
	return e.control.Flush()
}
