// The simulation runs the real state machines of several processes in a simulated
// world: clocks that are off, NATS servers with connections, subscriptions and
// routes, and a replicated store (sim*_test.go). Everything that happens is one
// event of one queue, drawn from one seed, so a seed that fails can be replayed.
//
//	go test ./runtime/election -run TestSimulation -sim.steps=100000000 -timeout 0
//	go test ./runtime/election -run TestSimulation/one-server -sim.mix=one-server -sim.seed=7 -sim.one -v
//
// Each step of an undisturbed process counts, as does each hop of a message.

package election

import (
	"flag"
	"runtime/debug"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var (
	simSteps = flag.Int("sim.steps", 10_000_000, "steps of TestSimulation, over all fault mixes")
	simSeed  = flag.Uint64("sim.seed", 1, "first seed")
	simMix   = flag.String("sim.mix", "", "only this fault mix")
	simOne   = flag.Bool("sim.one", false, "only the first seed, with its history")
)

// TestMain lets the garbage of the simulation pile up: its heap is tiny.
func TestMain(m *testing.M) {
	debug.SetGCPercent(1000)
	m.Run()
}

// stepsPerSeed bounds the history that a failure prints.
const stepsPerSeed = 20_000

func base(name string) mix {
	return mix{
		name: name, size: size{servers: 1, nodes: 3, groups: 1},
		lease: 500 * time.Millisecond, window: 100 * time.Millisecond, probe: 30 * time.Millisecond,
		drift: 50_000, wallError: 20 * time.Millisecond, faultEvery: 250 * time.Millisecond, judgeActing: true,
		odds: odds{late: 5, doubled: 5, staleReads: 5, lostReplies: 5, buffered: 5, failLeading: 30},
	}
}

func only(name string, every time.Duration, f map[fault]int) mix {
	m := base(name)
	m.faultEvery = every
	for k, weight := range f {
		m.faults[k] = weight
	}
	return m
}

func ordinaryFaults() [faults]int {
	var f [faults]int
	for i := range f {
		f[i] = 5
	}
	f[faultRollback], f[faultPartition], f[faultBucket], f[faultKey], f[faultRestartAll] = 0, 0, 1, 1, 1
	return f
}

// mixes are the worlds that the algorithm must survive.
func mixes() []mix {
	one := base("one-server")
	one.faults = ordinaryFaults()

	three := base("three-servers")
	three.servers, three.groups = 3, 2
	three.faults = ordinaryFaults()
	three.faults[faultPartition] = 10

	crash := base("close-and-crash")
	crash.faultEvery = 150 * time.Millisecond
	crash.faults[faultClose], crash.faults[faultCrash] = 3, 1

	slow := base("short-window")
	slow.window, slow.probe, slow.lease = 20*time.Millisecond, 10*time.Millisecond, time.Second
	slow.faults = ordinaryFaults()

	lease := base("lease-alone")
	lease.servers, lease.noEarly = 3, true
	lease.faults = ordinaryFaults()
	lease.faults[faultPartition] = 10
	lease.ill = true

	half := base("different-leases")
	half.lease, half.halfLeases = time.Second, true
	half.faults = ordinaryFaults()
	half.faults[faultBucket], half.faults[faultKey] = 0, 0

	foreign := base("foreign-account")
	foreign.foreign = true
	foreign.faults = ordinaryFaults()

	back := base("roll-back")
	back.judgeActing, back.awaitRelease = false, true
	back.faults = ordinaryFaults()
	back.faults[faultRollback], back.faults[faultRestartAll] = 15, 10

	remade := base("remade-buckets")
	remade.faultEvery, remade.late, remade.doubled = 600*time.Millisecond, 100, 100
	remade.faults[faultBucket], remade.faults[faultKey], remade.faults[faultCrash] = 3, 1, 1

	varied := base("varied")
	varied.vary = true
	varied.faults = ordinaryFaults()

	return []mix{one, three, varied, crash, slow, lease, half, foreign, remade, back}
}

// TestSimulation runs the algorithm as it is through all fault mixes and finds
// nothing.
func TestSimulation(t *testing.T) {
	all := mixes()
	for i := range all {
		m := &all[i]
		if *simMix != "" && *simMix != m.name {
			continue
		}
		t.Run(m.name, func(t *testing.T) {
			budget := *simSteps / len(all)
			if *simMix != "" {
				budget = *simSteps
			}
			started := time.Now()
			steps := simulate(t, m, budget)
			t.Logf("%d steps, %.1f million a second", steps, float64(steps)/1e6/time.Since(started).Seconds())
		})
	}
}

func simulate(t *testing.T, m *mix, budget int) (steps int) {
	t.Helper()
	for seed := *simSeed; steps < budget; seed++ {
		w := newWorld(m, intact, seed)
		w.tracing = *simOne
		w.run(stepsPerSeed)
		steps += w.steps
		if w.failure != "" {
			w = newWorld(m, intact, seed)
			w.tracing = true
			w.run(stepsPerSeed)
			t.Log("\n" + w.story())
			require.Fail(t, w.failure, "replay: go test ./runtime/election -run 'TestSimulation/%s' -sim.mix=%s -sim.seed=%d -sim.one",
				m.name, m.name, seed)
		}
		if *simOne {
			t.Log("\n" + w.story())
			return steps
		}
	}
	return steps
}

// TestFailoverTime kills leaders and nothing else: another serves about one act
// window and one probe later.
func TestFailoverTime(t *testing.T) {
	m := only("crash", 4*time.Second, map[fault]int{faultCrash: 1})
	m.lease, m.drift, m.failLeading = 2*time.Second, 0, 0
	m.late, m.doubled, m.lostReplies, m.staleReads, m.buffered = 0, 0, 0, 0, 0
	w := newWorld(&m, intact, *simSeed)
	w.run(1_000_000)
	require.Empty(t, w.failure)
	slices.Sort(w.failovers)
	n := len(w.failovers)
	require.Greater(t, n, 50)
	t.Logf("%d leaders killed: median %v, 95 %% %v, worst %v", n, w.failovers[n/2], w.failovers[n*95/100], w.failovers[n-1])
	require.Less(t, w.failovers[n/2], widen(m.window)+m.probe+10*time.Millisecond)
}
