// Package calling counts the calls of the clients of a connection, and knows what a failure
// means for the figures.
package calling

import (
	"iter"
	"maps"
	"sync"
	"time"

	"github.com/aegisrpc/aegis/runtime/health"
	"github.com/aegisrpc/aegis/runtime/internal/status"
)

// Figures are those of all clients of a connection. The zero value has none. It is safe for
// concurrent use.
type Figures struct {
	mu        sync.Mutex // guards byService
	byService map[string]*health.Callers
}

// All returns the figures by the full names of the services, as far as there are any.
func (f *Figures) All() iter.Seq2[string, *health.Callers] {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.All(maps.Clone(f.byService))
}

// Of returns the figures of a method, the same ones to all of its clients.
func (f *Figures) Of(service, method string) *Method {
	f.mu.Lock()
	defer f.mu.Unlock()
	of := f.byService[service]
	if of == nil {
		if f.byService == nil {
			f.byService = make(map[string]*health.Callers)
		}
		of = health.NewCallers(time.Now())
		f.byService[service] = of
	}
	return &Method{of.Method(method)}
}

// Method counts the calls of one method. It is safe for concurrent use.
type Method struct{ *health.Caller }

// Failed counts an attempt of a call that has failed.
func (m *Method) Failed(st *status.Status) { m.Fail(st.Reason) }

// WaitSince adds the time since begun to that for which calls have waited.
func (m *Method) WaitSince(begun time.Time) { m.Wait(time.Since(begun)) }

// Done counts the end of a call that began at a time; st is nil if it has succeeded. Begin
// comes before.
func (m *Method) Done(began time.Time, st *status.Status) {
	took := time.Since(began) // cheaper than time.Now
	m.DoneAt(began.Add(took), took, st)
}

// DoneAt counts the end of a call with a duration that is not the time since it began, as
// that of a stream.
func (m *Method) DoneAt(now time.Time, took time.Duration, st *status.Status) {
	if st == nil {
		m.End(now, took, 0)
		return
	}
	if unknown(st) {
		m.LeaveUnknown()
	}
	m.End(now, took, health.Code(st.Code))
}

// unknown reports whether the outcome of a call is unknown: a handler may have run, and the
// status is not the handler's own. A request that is not valid was never sent.
func unknown(st *status.Status) bool {
	own := st.FromServer && st.Reason == ""
	return !st.NotRun && !own && st.Code != status.InvalidArgument
}
