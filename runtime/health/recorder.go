package health

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Defaults and limits of [Config].
const (
	DefaultWindow = time.Minute
	DefaultSpans  = 6
	// MinSpan is the shortest that Window/Spans may be.
	MinSpan = 10 * time.Millisecond
	// MaxSpans is the most spans of a window, 4 kB each.
	MaxSpans = 60
)

// ErrConfig is wrapped by the error of [NewRecorder] for a [Config] that cannot be used.
var ErrConfig = errors.New("health: wrong configuration")

// Config are the settings of a [Recorder]. The zero Config is the default.
type Config struct {
	// Window is how far back the figures reach. Default: 60 s.
	Window time.Duration
	// Spans is the number of parts in which the window moves on: at any time it
	// reaches back by Window, less at most one part. Default: 6.
	Spans int
}

// Recorder measures the methods of one service on one instance. It is safe for
// concurrent use.
type Recorder struct {
	start  time.Time
	window time.Duration
	spans  int

	mu      sync.Mutex // guards methods
	methods []*Method  // by name
}

// NewRecorder returns a recorder that starts now. The error wraps [ErrConfig].
func NewRecorder(cfg Config, now time.Time) (*Recorder, error) {
	if cfg.Window == 0 {
		cfg.Window = DefaultWindow
	}
	if cfg.Spans == 0 {
		cfg.Spans = DefaultSpans
	}
	switch {
	case cfg.Spans < 1 || cfg.Spans > MaxSpans:
		return nil, fmt.Errorf("%w: %d spans; from 1 to %d are possible", ErrConfig, cfg.Spans, MaxSpans)
	case cfg.Window/time.Duration(cfg.Spans) < MinSpan:
		return nil, fmt.Errorf("%w: a window of %v in %d spans; a span is %v or longer", ErrConfig, cfg.Window, cfg.Spans, MinSpan)
	}
	return &Recorder{start: now, window: cfg.Window, spans: cfg.Spans}, nil
}

// Method returns the recorder's method of this name, and adds it if it is new.
// Names come from a service's descriptor and never from the wire, as methods
// are kept for ever.
func (r *Recorder) Method(name string) *Method {
	r.mu.Lock()
	defer r.mu.Unlock()
	at, ok := slices.BinarySearchFunc(r.methods, name, func(m *Method, name string) int { return strings.Compare(m.name, name) })
	if !ok {
		m := &Method{name: name, start: r.start, window: newWindow(r.window/time.Duration(r.spans), r.spans)}
		r.methods = slices.Insert(r.methods, at, m)
	}
	return r.methods[at]
}

// all returns the methods, in a slice of the caller's own.
func (r *Recorder) all() []*Method {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.methods)
}

// Method measures one method. It is safe for concurrent use.
type Method struct {
	name     string
	start    time.Time
	inFlight atomic.Int64
	window   *window
	unrated  atomic.Bool
}

// Name returns the method's name.
func (m *Method) Name() string { return m.name }

// Unrate has score, grade and latency of the service leave the latency of this method
// out: that of a command is as long as its work is, and that of a stream of requests as its
// sender takes. Errors of the method count all the same. Default: the latency counts.
func (m *Method) Unrate() { m.unrated.Store(true) }

// Begin counts a request whose handler begins.
func (m *Method) Begin() { m.inFlight.Add(1) }

// End counts that a request has ended at now, after latency, with code: 0 is OK, and a
// number that is no canonical code counts as Unknown. It allocates nothing but the spans of
// the window, 4 kB each, when the first requests come.
func (m *Method) End(now time.Time, latency time.Duration, code Code) {
	m.inFlight.Add(-1)
	m.window.record(max(now.Sub(m.start), 0), max(latency, 0), code.known())
}
