// The race detector has nothing to find in worlds of one goroutine, and makes
// millions of steps take minutes.
//go:build !race

package election

import (
	"flag"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var simHunt = flag.Int("sim.hunt", 1, "how many times TestMutations multiplies its step budgets")

// mutant is one rule left out, and the world that shows what breaks.
type mutant struct {
	name     string
	mutation mutation
	budget   int // steps
	mix      func() mix
}

func ordinary() mix { return mixes()[0] }

func named(name string) func() mix {
	return func() mix {
		for _, m := range mixes() {
			if m.name == name {
				return m
			}
		}
		panic(name)
	}
}

func mutants() []mutant {
	return []mutant{
		{"margin on the lease timer", noLeaseMargin, 10e6, named("lease-alone")},
		{"margin on the early wait", noWindowMargin, 10e6, named("close-and-crash")},
		{"what a no responders is about", staleNoResponders, 40e6, func() mix {
			m := only("close-and-slow-live", 150*time.Millisecond, map[fault]int{faultClose: 1, faultSlowQueue: 2})
			m.slowQueue, m.slowFrom, m.slowTo = queueLive+1, 70*time.Millisecond, 110*time.Millisecond
			return m
		}},
		{"absence is no release", absenceReleases, 10e6, ordinary},
		{"creation time in the key", keyWithoutCreation, 40e6, func() mix {
			m := only("late-writes-and-buckets", 600*time.Millisecond, map[fault]int{faultBucket: 3, faultCrash: 1})
			m.late = 100
			return m
		}},
		{"release by compare-and-set", releaseByDelete, 10e6, func() mix {
			m := only("resign", 200*time.Millisecond, map[fault]int{faultResign: 3, faultPause: 1, faultSlowStore: 1, faultStall: 1})
			m.late = 100
			return m
		}},
		{"term above the wall clock", termFromRecord, 10e6, named("roll-back")},
		{"connection at the acknowledgement", ackOnAnyConnection, 10e6, func() mix {
			m := only("close-and-slow-replies", 150*time.Millisecond, map[fault]int{faultClose: 1, faultSlowQueue: 1})
			m.lease, m.window, m.probe = time.Second, 50*time.Millisecond, 25*time.Millisecond
			m.slowFrom, m.slowTo = 30*time.Millisecond, 200*time.Millisecond
			return m
		}},
		{"generation of the subscription", noGeneration, 40e6, func() mix {
			return only("revoke", 300*time.Millisecond, map[fault]int{faultRevoke: 1})
		}},
		{"contact over a reconnect", contactOverReconnect, 10e6, func() mix {
			m := only("close-and-buffered", 150*time.Millisecond, map[fault]int{faultClose: 1})
			m.buffered = 20
			return m
		}},
		{"resign without contact", neverResign, 10e6, named("lease-alone")},
		{"same server only", anyServer, 10e6, named("three-servers")},
		{"process, not name", instanceIsIdentity, 10e6, ordinary},
		{"time before the write", leaseFromAck, 10e6, func() mix {
			m := only("store-gone-and-slow-replies", 200*time.Millisecond, map[fault]int{faultStoreGone: 1, faultSlowQueue: 1})
			m.slowQueue, m.slowFrom, m.slowTo = queueReply+1, 70*time.Millisecond, 124*time.Millisecond
			return m
		}},
		{"timer restarts on each revision", timerRunsOn, 10e6, ordinary},
		{"earned no responders", unearned, 10e6, named("foreign-account")},
		{"the record's lease", ownLeaseOnly, 10e6, named("different-leases")},
		{"wall clock ahead", noWallClock, 10e6, ordinary},
		{"a revision before a claim", createLeads, 10e6, func() mix {
			m := only("late-writes-and-keys", 600*time.Millisecond, map[fault]int{faultBucket: 1, faultKey: 2, faultCrash: 1})
			m.late, m.doubled = 100, 100
			return m
		}},
		{"proof of the bucket", unproven, 40e6, func() mix {
			m := only("late-writes-and-buckets", time.Second, map[fault]int{faultBucket: 3, faultCrash: 1})
			m.late = 600
			return m
		}},
		{"contact after a rest", restActs, 10e6, named("close-and-crash")},
		{"the early wait", noWindowWait, 10e6, named("close-and-crash")},
	}
}

// TestMutations leaves out one rule at a time and expects the simulation to find
// out.
func TestMutations(t *testing.T) {
	for _, mutant := range mutants() {
		t.Run(mutant.name, func(t *testing.T) {
			m := mutant.mix()
			started := time.Now()
			steps, seed, failure := hunt(&m, mutant.mutation, mutant.budget**simHunt)
			t.Logf("%d steps, %v, seed %d: %s", steps, time.Since(started).Round(time.Millisecond), seed, failure)
			require.NotEmpty(t, failure)

			if testing.Short() {
				return // the control run is for the long form
			}
			steps, seed, failure = hunt(&m, intact, steps)
			require.Empty(t, failure, "the same world breaks the algorithm as it is: seed %d, %d steps", seed, steps)
		})
	}
}

// hunt runs seeds until one fails.
func hunt(m *mix, mutant mutation, budget int) (steps int, seed uint64, failure string) {
	for seed = *simSeed; steps < budget; seed++ {
		w := newWorld(m, mutant, seed)
		w.run(stepsPerSeed)
		steps += w.steps
		if w.failure != "" {
			return steps, seed, w.failure
		}
	}
	return steps, seed, ""
}
