package handling

import (
	"maps"
	"sync"
	"sync/atomic"
)

// Table maps the subjects of requests to their routes. It is read with every request
// and seldom changed: Find takes no lock, and each change copies the table. It is safe
// for concurrent use. The zero value is empty.
type Table[Route any] struct {
	table atomic.Pointer[map[string]Route]
	mu    sync.Mutex // held while the table is replaced
}

// Find returns the route of a subject.
func (t *Table[Route]) Find(subject string) (Route, bool) {
	if table := t.table.Load(); table != nil {
		found, ok := (*table)[subject]
		return found, ok
	}
	var none Route
	return none, false
}

// Add adds routes.
func (t *Table[Route]) Add(more map[string]Route) {
	t.change(func(table map[string]Route) { maps.Copy(table, more) })
}

// Remove removes the routes for which mine is true.
func (t *Table[Route]) Remove(mine func(Route) bool) {
	t.change(func(table map[string]Route) {
		maps.DeleteFunc(table, func(_ string, route Route) bool { return mine(route) })
	})
}

func (t *Table[Route]) change(f func(map[string]Route)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	table := make(map[string]Route)
	if old := t.table.Load(); old != nil {
		table = maps.Clone(*old)
	}
	f(table)
	t.table.Store(&table)
}
