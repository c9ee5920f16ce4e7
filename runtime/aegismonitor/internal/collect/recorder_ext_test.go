package collect_test

import (
	"slices"
	"sync"
	"time"

	"github.com/aegisrpc/aegis/internal/monitorapi"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisadmin"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/board"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/reigns"
)

// recorder is a board that only writes down what it is told.
type recorder struct {
	mu        sync.Mutex // guards all below
	steps     []string   // of the connection and of leaders, in order
	server    board.Server
	connected bool
	sources   map[monitorapi.SourceName]source
	changes   []aegis.InstanceChange
	instances []aegis.Instance
	stats     map[string]*board.Stats // by process
	statsSeen int
	most      map[string]uint64 // requests by method that any reply has had
	described map[string]*board.Description
	leaders   map[string]reigns.Leader // by service/group
	gone      map[string]time.Time     // by process
	answered  map[string]int
	missed    map[string]time.Time
	records   []aegisadmin.Leadership
	work      map[string]*board.ServiceWork
	letters   map[string][]aegisadmin.LetterGroup
	ticks     int
}

type source struct {
	state   monitorapi.SourceState
	problem string
}

func newRecorder() *recorder {
	return &recorder{
		most:    map[string]uint64{},
		sources: map[monitorapi.SourceName]source{}, stats: map[string]*board.Stats{}, described: map[string]*board.Description{},
		leaders: map[string]reigns.Leader{}, gone: map[string]time.Time{}, answered: map[string]int{}, missed: map[string]time.Time{},
		work: map[string]*board.ServiceWork{}, letters: map[string][]aegisadmin.LetterGroup{},
	}
}

// with calls f with the recorder locked, and returns what f does.
func (r *recorder) with(f func() bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return f()
}

func (r *recorder) note(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
}

func (r *recorder) Connected(_ time.Time, s board.Server) {
	r.note(func() { r.connected, r.server, r.steps = true, s, append(r.steps, "connected") })
}

func (r *recorder) Disconnected(time.Time) {
	r.note(func() { r.connected, r.steps = false, append(r.steps, "disconnected") })
}

func (r *recorder) Source(_ time.Time, name monitorapi.SourceName, state monitorapi.SourceState, problem string) {
	r.note(func() { r.sources[name] = source{state, problem} })
}

func (r *recorder) InstanceChanged(_ time.Time, change aegis.InstanceChange) {
	r.note(func() { r.changes = append(r.changes, change) })
}

func (r *recorder) Instances(_ time.Time, list []aegis.Instance) {
	r.note(func() { r.instances = list })
}

func (r *recorder) Stats(_ time.Time, s *board.Stats) {
	r.note(func() {
		r.stats[s.Process] = s
		r.statsSeen++
		for i := range s.Methods {
			m := &s.Methods[i]
			r.most[m.Method] = max(r.most[m.Method], m.Counts.Requests)
		}
	})
}

func (r *recorder) Described(service string, d *board.Description) {
	r.note(func() { r.described[service] = d })
}

func (r *recorder) Tick(time.Time) { r.note(func() { r.ticks++ }) }

func (r *recorder) Led(_ time.Time, service, group string, l reigns.Leader) {
	r.note(func() {
		last := r.leaders[service+"/"+group]
		if l.Term < last.Term {
			return
		}
		if l.Term > last.Term {
			r.steps = append(r.steps, "led by "+l.Instance)
		}
		if l.Process == "" {
			l.Process = last.Process
			for i := range r.instances {
				if one := &r.instances[i]; one.Service == service && one.Name == l.Instance {
					l.Process = one.Process
				}
			}
		}
		r.leaders[service+"/"+group] = l
	})
}

func (r *recorder) Released(_ time.Time, service, group string, term uint64) {
	r.note(func() {
		if l := r.leaders[service+"/"+group]; l.Term == term {
			r.steps = append(r.steps, "released by "+l.Instance)
		}
	})
}

func (r *recorder) Gone(now time.Time, process string) {
	r.note(func() {
		if _, again := r.gone[process]; !again {
			r.gone[process] = now
			r.steps = append(r.steps, "gone "+process)
		}
	})
}

func (r *recorder) Answered(_ time.Time, process string) {
	r.note(func() { r.answered[process]++ })
}

func (r *recorder) Missed(_, since time.Time, process string) {
	r.note(func() { r.missed[process] = since })
}

func (r *recorder) LeaderRecords(_ time.Time, list []aegisadmin.Leadership) {
	r.note(func() { r.records = list })
}

func (r *recorder) ToProbe() []board.ToProbe {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []board.ToProbe
	for _, l := range r.leaders {
		list = append(list, board.ToProbe{Instance: l.Instance, Process: l.Process})
	}
	return list
}

func (r *recorder) ServiceWork(_ time.Time, service string, w *board.ServiceWork) {
	r.note(func() {
		if w == nil {
			delete(r.work, service)
			return
		}
		r.work[service] = w
	})
}

func (r *recorder) DeadLetters(_ time.Time, service string, groups []aegisadmin.LetterGroup) {
	r.note(func() { r.letters[service] = groups })
}

// is reports whether a source is in a state; state and problem are those of its last report.
func (r *recorder) is(name monitorapi.SourceName, state monitorapi.SourceState) bool {
	return r.with(func() bool { return r.sources[name].state == state })
}

func (r *recorder) problem(name monitorapi.SourceName) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sources[name].problem
}

func (r *recorder) stepped(step string) bool {
	return r.with(func() bool { return slices.Contains(r.steps, step) })
}

func (r *recorder) changed(kind aegis.InstanceChangeKind, name string) bool {
	return r.with(func() bool {
		return slices.ContainsFunc(r.changes, func(c aegis.InstanceChange) bool { return c.Kind == kind && c.Instance.Name == name })
	})
}
