package selection

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// fakeClock is a clock that only the test moves.
type fakeClock struct {
	mu  sync.Mutex
	now time.Duration
}

func (c *fakeClock) read() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *fakeClock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now += d
}

// fixture is a set with a clock and a randomness of the test.
type fixture struct {
	*Set
	clock  *fakeClock
	rng    *rand.Rand
	faults []Fault
}

func newFixture(seed uint64) *fixture {
	f := &fixture{clock: &fakeClock{now: time.Hour}, rng: rand.New(rand.NewPCG(seed, 1))}
	f.Set = NewSet(Config{
		Now:   f.clock.read,
		Rand:  f.rng.Uint64,
		Fault: func(fault Fault) { f.faults = append(f.faults, fault) },
	})
	return f
}

func name(i int) string { return fmt.Sprintf("instance-%05d", i) }

func running(i int) Info {
	return Info{ID: name(i), Process: "p1", State: StateRunning}
}

// fill puts n running instances.
func (f *fixture) fill(n int) {
	infos := make([]Info, n)
	for i := range infos {
		infos[i] = running(i)
	}
	f.Replace(infos)
}

// call picks and ends a call at once, and returns who got it.
func call(t *testing.T, p *Picker, c Call) string {
	t.Helper()
	i, err := p.Pick(c)
	require.NoError(t, err)
	p.Finish(i, Outcome{Latency: time.Millisecond})
	return i.ID()
}

func strategies() map[string]Strategy {
	return map[string]Strategy{
		"round robin":  RoundRobin(),
		"random":       Random(),
		"least loaded": LeastLoaded(),
		"sticky":       Sticky(),
		"prefer zone":  PreferZone("a"),
		"first":        StrategyFunc(func(*View, Call) int { return 0 }),
	}
}
