package selection

import (
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// overloadPenalty is the least latency that counts for a call that was refused or lost:
// refusals are quick, and an instance that only refuses would look like the fastest.
const overloadPenalty = 100 * time.Millisecond

// fullFor is for how long an instance counts as full after it has refused a call. It is
// short, as an instance that is at its limit has room again all the time.
const fullFor = 100 * time.Millisecond

// Fault is the panic of a strategy.
type Fault struct {
	// Err names the strategy, its method and the value of the panic. It wraps [ErrStrategy].
	Err error
	// Stack is the stack of the panic.
	Stack []byte
}

// Picker picks from a [Set] by a [Strategy], and guards against the strategy's
// mistakes. Make it with [Set.Picker]. It is safe for concurrent use.
type Picker struct {
	set      *Set
	strategy Strategy
	method   string     // of the calls; "" for any
	mu       sync.Mutex // held to make a view
	view     atomic.Pointer[View]
}

// Picker returns a picker of the set by strategy; nil means [RoundRobin].
func (s *Set) Picker(strategy Strategy) *Picker {
	if strategy == nil {
		strategy = RoundRobin()
	}
	return &Picker{set: s, strategy: strategy}
}

// MethodPicker is [Set.Picker] for the calls of one method: it picks only from the
// candidates that serve the method.
func (s *Set) MethodPicker(method string, strategy Strategy) *Picker {
	p := s.Picker(strategy)
	p.method = method
	return p
}

// Pick picks the instance for a call and counts the call as outstanding. The caller has to
// call [Picker.Finish] exactly once for it. Pick waits for nothing but the making of a
// view, and allocates nothing while the candidates stay the same.
//
// The errors are [ErrNoInstance], [ErrAllTried], [ErrDeclined] and those that wrap
// [ErrStrategy].
func (p *Picker) Pick(call Call) (*Instance, error) {
	for {
		view := p.current()
		instance, err := p.pickFrom(view, call)
		if err != nil {
			return nil, err
		}
		if instance != nil {
			instance.outstanding.Add(1)
			p.set.outstanding.Add(1)
			p.started(instance)
			return instance, nil
		}
		if view.version != p.set.version.Load() {
			continue // the candidates have changed since the view was made
		}
		return nil, ErrAllTried
	}
}

// Finish says how the call to instance, which Pick returned, has ended.
func (p *Picker) Finish(instance *Instance, outcome Outcome) {
	instance.outstanding.Add(-1)
	p.set.outstanding.Add(-1)
	switch outcome.Failure {
	case FailureNoResponders, FailureStopping:
		p.set.refused(instance, outcome.Failure)
	case FailureOverloaded:
		instance.overloaded.Store(int64(p.set.cfg.Now() + fullFor))
		instance.observed.add(p.set.cfg.Now(), max(outcome.Latency, overloadPenalty))
	case FailureLost:
		instance.observed.add(p.set.cfg.Now(), max(outcome.Latency, overloadPenalty))
	case FailureCanceled:
	case FailureNone:
		instance.observed.add(p.set.cfg.Now(), outcome.Latency)
	}
	p.finished(instance, outcome)
}

// pickFrom picks from a view. It returns nil without an error if no candidate is usable.
func (p *Picker) pickFrom(view *View, call Call) (*Instance, error) {
	switch {
	case view.broken != nil:
		return nil, view.broken
	case view.Len() == 0:
		return nil, ErrNoInstance
	}
	at, err := p.ask(view, call)
	switch {
	case err != nil:
		return nil, err
	case at == None:
		return nil, ErrDeclined
	case at < 0 || at >= view.Len():
		return nil, fmt.Errorf("%w: %T picked %d of %d candidates", ErrStrategy, p.strategy, at, view.Len())
	}
	if instance := view.list[at]; call.Usable(instance) {
		return instance, nil
	}
	return view.next(at, call), nil
}

// current returns the view of the present candidates, which it makes if they have changed.
func (p *Picker) current() *View {
	if view := p.view.Load(); view != nil && view.version == p.set.version.Load() {
		return view
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	list, version := p.set.candidates()
	previous := p.view.Load()
	if previous != nil && previous.version == version {
		return previous // another call has made it meanwhile
	}
	view := &View{set: p.set, version: version}
	p.choose(view, list)
	p.prepare(view, previous)
	p.view.Store(view)
	return view
}

// choose makes the list of a view: the candidates without those that lack the method, or
// that the strategy does not choose.
func (p *Picker) choose(view *View, candidates []*Instance) {
	defer p.rescue("Chooses", &view.broken)
	drops := func(i *Instance) bool { return p.method != "" && !i.Serves(p.method) || !p.chooses(i) }
	if slices.ContainsFunc(candidates, drops) {
		candidates = slices.DeleteFunc(slices.Clone(candidates), drops)
	}
	view.list = candidates
}

// chooses reports whether the strategy may pick an instance, if that can be picked.
func (p *Picker) chooses(i *Instance) bool {
	if chooser, ok := p.strategy.(Chooser); ok {
		return chooser.Chooses(i)
	}
	return !i.Reserved()
}

// Candidates returns how many instances can be picked now, those included that a call was
// tried on.
func (p *Picker) Candidates() int { return p.current().Len() }

func (p *Picker) prepare(view, previous *View) {
	preparer, ok := p.strategy.(Preparer)
	if !ok || view.Len() == 0 {
		return
	}
	defer p.rescue("Prepare", &view.broken)
	view.prepared = preparer.Prepare(view, previous)
}

func (p *Picker) ask(view *View, call Call) (at int, err error) {
	defer p.rescue("Pick", &err)
	return p.strategy.Pick(view, call), nil
}

func (p *Picker) started(instance *Instance) {
	defer p.rescue("Started", nil)
	p.strategy.Started(instance)
}

func (p *Picker) finished(instance *Instance, outcome Outcome) {
	defer p.rescue("Finished", nil)
	p.strategy.Finished(instance, outcome)
}

// rescue is deferred around a method of the strategy: it turns a panic into an error, and
// tells [Config.Fault].
func (p *Picker) rescue(method string, err *error) {
	value := recover()
	if value == nil {
		return
	}
	fault := fmt.Errorf("%w: %T panicked in %s: %v", ErrStrategy, p.strategy, method, value)
	if err != nil {
		*err = fault
	}
	p.set.cfg.Fault(Fault{Err: fault, Stack: debug.Stack()})
}
