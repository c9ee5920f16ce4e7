package targets

import (
	"sync"
	"sync/atomic"

	"github.com/aegisrpc/aegis/runtime/selection"
)

// Kind says how the instance for a call is found.
type Kind int

// The kinds.
const (
	ByDefault Kind = iota // by key if the proto names a field, else by queue group
	ByQueueGroup
	ByRoundRobin
	ByRandom
	ByLoad
	ByKey
	ByZone
	ByOwn   // by a strategy of the user
	ByLabel // by a strategy that was made for a label

	kinds = iota
)

// String returns the name of the option for a kind.
func (k Kind) String() string {
	return [kinds]string{"", "QueueGroup", "RoundRobin", "Random", "LeastLoaded", "StickyKey", "PreferZone", "SelectBy", "WhereLabel"}[k]
}

// builtin returns the strategy of a kind other than ByOwn and ByLabel, for callers in a zone.
func (k Kind) builtin(zone string) selection.Strategy {
	switch k {
	case ByZone:
		return selection.PreferZone(zone)
	case ByRandom:
		return selection.Random()
	case ByLoad:
		return selection.LeastLoaded()
	case ByKey:
		return selection.Sticky()
	default:
		return selection.RoundRobin()
	}
}

// Strategy is the way to find the instance for a call.
type Strategy struct {
	Kind Kind
	Own  *Own // for ByOwn and ByLabel; else nil
}

// Choice returns the strategy for callers without a zone; nil for NATS's queue group.
func (s Strategy) Choice() selection.Strategy {
	switch s.Kind {
	case ByDefault, ByQueueGroup, ByZone:
		return nil
	case ByOwn, ByLabel:
		return s.Own.strategy
	default:
		return s.Kind.builtin("")
	}
}

// TakesKey reports whether the strategy asks for the key of a call.
func (s Strategy) TakesKey() bool { return s.Kind == ByKey || s.Kind == ByOwn }

// Own is a strategy of the user. It keeps a picker for each method, with what the
// strategy has prepared for it.
type Own struct {
	strategy selection.Strategy
	pickers  sync.Map // *selection.Picker by *Method
}

// NewOwn makes an Own of a strategy.
func NewOwn(strategy selection.Strategy) *Own { return &Own{strategy: strategy} }

func (o *Own) picker(m *Method) *selection.Picker {
	if p, ok := o.pickers.Load(m); ok {
		return p.(*selection.Picker) //nolint:forcetypeassert // nothing else is stored
	}
	p, _ := o.pickers.LoadOrStore(m, m.table.set.MethodPicker(m.name, o.strategy))
	return p.(*selection.Picker) //nolint:forcetypeassert // nothing else is stored
}

// Method has what the calls of one method of a service share, of all clients of a
// connection. It is safe for concurrent use.
type Method struct {
	table   *Table
	name    string
	index   int // in target.subjects
	pickers [kinds]atomic.Pointer[selection.Picker]
}

// Method returns the method of this name.
func (t *Table) Method(name string) *Method {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := t.methods[name]
	if m == nil {
		m = &Method{table: t, name: name, index: len(t.methods)}
		t.methods[name] = m
	}
	return m
}

// Table returns the table of the method's service.
func (m *Method) Table() *Table { return m.table }

func (m *Method) picker(s Strategy) *selection.Picker {
	if s.Own != nil {
		return s.Own.picker(m)
	}
	slot := &m.pickers[s.Kind]
	if p := slot.Load(); p != nil {
		return p
	}
	slot.CompareAndSwap(nil, m.table.set.MethodPicker(m.name, s.Kind.builtin(m.table.o.Zone)))
	return slot.Load()
}

// subject returns where the method is called at an instance. The subject is made once,
// as there are many calls.
func (m *Method) subject(instance string, to *target) *string {
	list := to.subjects.Load()
	if list != nil && m.index < len(*list) && (*list)[m.index] != nil {
		return (*list)[m.index]
	}
	subject := m.table.o.Subjects.Instance(instance, m.table.service, m.name)
	more := make([]*string, m.index+1)
	if list != nil {
		more = make([]*string, max(m.index+1, len(*list)))
		copy(more, *list)
	}
	more[m.index] = &subject
	to.subjects.CompareAndSwap(list, &more) // if it fails, another call makes the subject anew
	return &subject
}
