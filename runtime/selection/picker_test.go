package selection

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAnEmptySetIsAClearError(t *testing.T) {
	for _, s := range strategies() {
		_, err := newFixture(1).Picker(s).Pick(Call{Key: "k"})
		require.ErrorIs(t, err, ErrNoInstance)
	}
}

func TestTriedInstancesAreNotPickedAgain(t *testing.T) {
	for title, s := range strategies() {
		for _, key := range []string{"", "key"} {
			t.Run(title+key, func(t *testing.T) {
				f := newFixture(1)
				f.fill(9)
				p := f.Picker(s)
				var tried Tried
				for range 9 {
					i, err := p.Pick(Call{Key: key, Tried: &tried})
					require.NoError(t, err)
					require.False(t, tried.Has(i))
					tried.Add(i)
				}
				require.Equal(t, 9, tried.Len())
				_, err := p.Pick(Call{Key: key, Tried: &tried})
				require.ErrorIs(t, err, ErrAllTried)
				tried.Reset()
				_, err = p.Pick(Call{Key: key, Tried: &tried})
				require.NoError(t, err)
			})
		}
	}
	var none *Tried
	require.Zero(t, none.Len())
}

// TestNoDeadPick does whatever may happen to a set in any order, and compares
// every pick with a plain model of who may be picked.
func TestNoDeadPick(t *testing.T) {
	for title, s := range strategies() {
		t.Run(title, func(t *testing.T) {
			for seed := range uint64(8) {
				m := &model{fixture: newFixture(seed), known: map[string]*modelled{}}
				m.pickers = []*Picker{m.Picker(s), m.Picker(s), m.MethodPicker("Get", s)}
				for range 2000 {
					m.step(t)
				}
			}
		})
	}
}

type model struct {
	*fixture
	pickers []*Picker
	known   map[string]*modelled
	calls   []*Instance
}

type modelled struct {
	process         string
	state           State
	unhealthy, dead bool
	deadAt          time.Duration
	lacks           bool // the method Get
}

func (m *model) able(id string) bool {
	i := m.known[id]
	return i != nil && i.state == StateRunning && !i.unhealthy && !i.dead
}

func (m *model) step(t *testing.T) {
	t.Helper()
	id := name(m.rng.IntN(12))
	known := m.known[id]
	switch m.rng.IntN(12) {
	case 0:
		m.put(Info{
			ID: id, Process: fmt.Sprint("p", m.rng.IntN(2)), State: State(m.rng.IntN(3)), Unhealthy: m.rng.IntN(6) == 0,
			Methods: [][]string{nil, {}, {"Do"}, {"Do", "Get", "Put"}}[m.rng.IntN(4)],
		})
	case 1:
		m.put(Info{ID: id, Process: "p1", State: StateRunning, Methods: []string{"Get"}})
	case 2:
		m.Remove(id)
		delete(m.known, id)
	case 3:
		beat := Beat{Process: "p1", Unhealthy: m.rng.IntN(6) == 0, Load: Load{InFlight: m.rng.IntN(50), Latency: time.Duration(m.rng.IntN(1e7))}}
		require.Equal(t, known != nil && known.process == "p1", m.Beat(id, beat))
		if known != nil && known.process == "p1" {
			known.unhealthy = beat.Unhealthy
			known.dead = known.dead && m.clock.read()-known.deadAt < DefaultQuarantine
		}
	case 4:
		m.clock.move(time.Duration(m.rng.IntN(100)) * time.Millisecond)
	case 5, 6:
		m.finish()
	default:
		m.pick(t)
	}
}

func (m *model) put(info Info) {
	m.Put(info)
	i := m.known[info.ID]
	switch {
	case i == nil || i.process != info.Process:
		m.known[info.ID] = &modelled{
			process: info.Process, state: info.State, unhealthy: info.Unhealthy,
			lacks: info.Methods != nil && !slices.Contains(info.Methods, "Get"),
		}
		return
	case i.state != StateStopping:
		i.state = info.State
	}
	i.unhealthy = info.Unhealthy
}

func (m *model) pick(t *testing.T) {
	t.Helper()
	var tried Tried
	for _, i := range m.Candidates() {
		if m.rng.IntN(4) == 0 {
			tried.Add(i)
		}
	}
	picker := m.pickers[m.rng.IntN(3)]
	i, err := picker.Pick(Call{Key: []string{"", "a", "b"}[m.rng.IntN(3)], Tried: &tried})
	able := map[string]bool{}
	for id, known := range m.known {
		if m.able(id) && (!known.lacks || picker.method != "Get") {
			able[id] = true
		}
	}
	some := len(able) > 0
	for _, i := range m.Candidates() {
		if tried.Has(i) {
			delete(able, i.ID())
		}
	}
	switch {
	case !some:
		require.ErrorIs(t, err, ErrNoInstance)
	case len(able) == 0:
		require.ErrorIs(t, err, ErrAllTried)
	default:
		require.NoError(t, err)
		require.True(t, able[i.ID()], i.ID())
		require.Equal(t, m.known[i.ID()].process, i.Process())
		require.False(t, tried.Has(i))
		m.calls = append(m.calls, i)
	}
}

func (m *model) finish() {
	if len(m.calls) == 0 {
		return
	}
	at := m.rng.IntN(len(m.calls))
	i := m.calls[at]
	m.calls = append(m.calls[:at], m.calls[at+1:]...)
	outcome := Outcome{Latency: time.Duration(m.rng.IntN(1e8)), Failure: Failure(m.rng.IntN(6))}
	m.pickers[0].Finish(i, outcome)
	known := m.known[i.ID()]
	if known == nil || i.gone {
		return
	}
	switch outcome.Failure {
	case FailureNoResponders:
		known.dead, known.deadAt = true, m.clock.read()
	case FailureStopping:
		known.state = StateStopping
	default:
	}
}

// broken is a strategy whose methods do what the test says.
type broken struct {
	prepare  func() any
	pick     func(*View) int
	started  func()
	finished func()
}

func (b broken) Prepare(*View, *View) any { return b.prepare() }

func (b broken) Pick(v *View, _ Call) int { return b.pick(v) }

func (b broken) Started(*Instance) { b.started() }

func (b broken) Finished(*Instance, Outcome) { b.finished() }

func newBroken() broken {
	return broken{
		prepare: func() any { return "prepared" }, pick: func(*View) int { return 0 },
		started: func() {}, finished: func() {},
	}
}

func TestAStrategyThatFailsCostsOneCallAnError(t *testing.T) {
	boom := errors.New("boom")
	for title, c := range map[string]struct {
		strategy func(*broken)
		want     error
		faults   int
	}{
		"declines":          {func(b *broken) { b.pick = func(*View) int { return None } }, ErrDeclined, 0},
		"picks beyond":      {func(b *broken) { b.pick = func(v *View) int { return v.Len() } }, ErrStrategy, 0},
		"picks before":      {func(b *broken) { b.pick = func(*View) int { return -2 } }, ErrStrategy, 0},
		"panics in Pick":    {func(b *broken) { b.pick = func(*View) int { panic(boom) } }, ErrStrategy, 1},
		"panics in Prepare": {func(b *broken) { b.prepare = func() any { panic(boom) } }, ErrStrategy, 1},
	} {
		t.Run(title, func(t *testing.T) {
			f := newFixture(1)
			f.fill(3)
			s := newBroken()
			c.strategy(&s)
			p := f.Picker(s)
			_, err := p.Pick(Call{})
			require.ErrorIs(t, err, c.want)
			require.Len(t, f.faults, c.faults)
			require.Zero(t, p.current().Outstanding(), "nothing was begun")
			for _, fault := range f.faults {
				require.ErrorIs(t, fault.Err, ErrStrategy)
				require.ErrorContains(t, fault.Err, "selection.broken panicked in P")
				require.ErrorContains(t, fault.Err, "boom")
				require.Contains(t, string(fault.Stack), "picker_test.go")
			}
		})
	}
}

func TestAPanicInFeedbackCostsNothing(t *testing.T) {
	f := newFixture(1)
	f.fill(3)
	s := newBroken()
	s.started = func() { panic("started") }
	s.finished = func() { panic("finished") }
	p := f.Picker(s)
	i, err := p.Pick(Call{})
	require.NoError(t, err)
	require.Equal(t, "prepared", p.current().Prepared())
	require.Equal(t, 1, p.current().Outstanding())
	p.Finish(i, Outcome{})
	require.Zero(t, p.current().Outstanding())
	require.Len(t, f.faults, 2)
}

func TestAViewIsRecoveredFromAPanicInPrepare(t *testing.T) {
	f := newFixture(1)
	f.fill(3)
	s := newBroken()
	first := true
	s.prepare = func() any {
		if first {
			first = false
			panic("first")
		}
		return nil
	}
	p := f.Picker(s)
	_, err := p.Pick(Call{})
	require.ErrorIs(t, err, ErrStrategy)
	f.Put(running(3))
	_, err = p.Pick(Call{})
	require.NoError(t, err)
}

func TestTheStrategyHearsOfEveryCall(t *testing.T) {
	f := newFixture(1)
	f.fill(2)
	var begun, ended int
	s := newBroken()
	s.started = func() { begun++ }
	s.finished = func() { ended++ }
	p := f.Picker(s)
	for n := range 5 {
		i, err := p.Pick(Call{})
		require.NoError(t, err)
		require.Equal(t, n+1, begun)
		f.Remove(i.ID())
		f.Put(running(n % 2))
		p.Finish(i, Outcome{})
		require.Equal(t, n+1, ended)
	}
}

func TestAUsersStrategyFindsByID(t *testing.T) {
	f := newFixture(1)
	f.fill(9)
	p := f.Picker(StrategyFunc(func(v *View, c Call) int {
		at, ok := v.Index(c.Key)
		if !ok {
			return None
		}
		return at
	}))
	require.Equal(t, name(4), call(t, p, Call{Key: name(4)}))
	_, err := p.Pick(Call{Key: "nobody"})
	require.ErrorIs(t, err, ErrDeclined)
	Ignorant{}.Started(nil)
	Ignorant{}.Finished(nil, Outcome{})
}

// TestConcurrentUse is for the race detector, and counts that nothing is lost.
func TestConcurrentUse(t *testing.T) {
	set := NewSet(Config{})
	for i := range 32 {
		set.Put(running(i))
	}
	var wg sync.WaitGroup
	for title, s := range strategies() {
		p := set.Picker(s)
		for worker := range 2 {
			wg.Go(func() {
				rng := rand.New(rand.NewPCG(uint64(worker), uint64(len(title))))
				for range 3000 {
					i, err := p.Pick(Call{Key: name(rng.IntN(100))})
					if err != nil {
						continue
					}
					p.Finish(i, Outcome{Latency: time.Microsecond, Failure: Failure(rng.IntN(40) / 35)})
				}
			})
		}
	}
	wg.Go(func() {
		rng := rand.New(rand.NewPCG(1, 1))
		for n := range 3000 {
			id := rng.IntN(40)
			set.Put(Info{ID: name(id), Process: strconv.Itoa(n), State: State(rng.IntN(3))})
			set.Beat(name(id), Beat{Load: Load{InFlight: n}})
			set.Remove(name(rng.IntN(40)))
			for range 3 {
				set.Put(Info{ID: name(rng.IntN(40)), Process: strconv.Itoa(n), State: StateRunning})
			}
		}
	})
	wg.Wait()
	require.Zero(t, set.outstanding.Load())
	for _, i := range set.Candidates() {
		require.Zero(t, i.Outstanding())
	}
}

func TestAPickAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	set := NewSet(Config{})
	for i := range 100 {
		set.Put(running(i))
	}
	for title, s := range strategies() {
		p := set.Picker(s)
		require.Zero(t, testing.AllocsPerRun(100, func() {
			i, _ := p.Pick(Call{Key: "key"})
			p.Finish(i, Outcome{Latency: time.Millisecond})
		}), title)
	}
	id := name(7)
	require.Zero(t, testing.AllocsPerRun(100, func() { set.Beat(id, Beat{Load: Load{InFlight: 7}}) }))
}
