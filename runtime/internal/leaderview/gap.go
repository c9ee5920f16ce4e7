package leaderview

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/health"
	"github.com/aegisrpc/aegis/runtime/internal/status"
)

// gaps are the times in which calls to a group found no leader that took them. Without
// calls none is seen: nothing else tells a client that a leader is gone. A gap begins with
// the call, and ends with the announcement of a leader, or with the next call that one
// answers.
type gaps struct {
	open atomic.Bool // a gap lasts; read by each call

	mu    sync.Mutex // guards the fields below, and the changes of open
	count uint64
	total time.Duration // of the gaps that have ended
	since time.Time     // when the present gap began
}

func (g *gaps) begin(since time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.open.Load() {
		g.count++
		g.since = since
		g.open.Store(true)
	}
}

func (g *gaps) end() {
	if !g.open.Load() {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open.Load() {
		g.total += time.Since(g.since)
		g.open.Store(false)
	}
}

// read returns how many gaps there were, with the one that lasts, and how long they were.
func (g *gaps) read() (count uint64, total time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open.Load() {
		return g.count, g.total + time.Since(g.since)
	}
	return g.count, g.total
}

// Missed notes that a call has found no leader that takes it, since a time.
func (v *View) Missed(since time.Time) { v.gaps.begin(since) }

// Answered notes how a call to the leader has ended: a leader has answered it, nobody takes
// calls, or it is not known.
func (v *View) Answered(st *status.Status) {
	if st == nil || st.FromServer && st.Reason == "" {
		v.gaps.end()
		return
	}
	switch st.Reason {
	case status.ReasonNoResponders, wire.ReasonNotActive, wire.ReasonLeadershipLost, wire.ReasonStopping:
		v.gaps.begin(time.Now())
	}
}

// Gaps returns the gaps of all groups, in order of service and group.
func (l *Views) Gaps() []health.LeaderGaps {
	l.mu.Lock()
	defer l.mu.Unlock()
	var list []health.LeaderGaps
	for _, id := range slices.Sorted(maps.Keys(l.views)) {
		v := l.views[id]
		gaps, lasted := v.gaps.read()
		list = append(list, health.LeaderGaps{Service: v.service, Group: v.Group, Gaps: gaps, Lasted: lasted})
	}
	return list
}
