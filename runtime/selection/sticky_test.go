package selection

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

const manyKeys = 20_000

// owners returns whose each key is when nothing else is going on.
func owners(t *testing.T, p *Picker) []string {
	t.Helper()
	all := make([]string, manyKeys)
	for k := range all {
		all[k] = call(t, p, Call{Key: "key-" + strconv.Itoa(k)})
	}
	return all
}

func moved(before, after []string) (n int) {
	for k := range before {
		if before[k] != after[k] {
			n++
		}
	}
	return n
}

// TestKeysThatMove: when one of n leaves, its keys move and no others; when it is
// back, exactly they return; when one joins, keys move only to it.
func TestKeysThatMove(t *testing.T) {
	for _, n := range []int{2, 4, 16, 100} {
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			f := newFixture(1)
			f.fill(n)
			p := f.Picker(Sticky())
			before := owners(t, p)
			leaver := name(n / 2)

			f.Beat(leaver, Beat{Unhealthy: true})
			without := owners(t, p)
			for k := range before {
				if before[k] != leaver {
					require.Equal(t, before[k], without[k], "a key that had nothing to do with it")
				} else {
					require.NotEqual(t, leaver, without[k])
				}
			}
			share := float64(moved(before, without)) / manyKeys
			require.LessOrEqual(t, share, 1.25/float64(n))
			f.Beat(leaver, Beat{})
			require.Equal(t, before, owners(t, p))

			f.Put(running(n))
			with := owners(t, p)
			for k := range before {
				if before[k] != with[k] {
					require.Equal(t, name(n), with[k], "a key moved, but not to the new one")
				}
			}
			joined := float64(moved(before, with)) / manyKeys
			require.LessOrEqual(t, joined, 1.25/float64(n+1))
			t.Logf("n=%d: left %.4f (1/n = %.4f), joined %.4f (1/(n+1) = %.4f)", n, share, 1/float64(n), joined, 1/float64(n+1))
		})
	}
}

func TestKeysOfTheLeaverSpread(t *testing.T) {
	f := newFixture(1)
	f.fill(16)
	p := f.Picker(Sticky())
	before := owners(t, p)
	f.Remove(name(3))
	after := owners(t, p)
	heirs := map[string]int{}
	for k := range before {
		if before[k] == name(3) {
			heirs[after[k]]++
		}
	}
	require.Len(t, heirs, 15, "all others take over some")
}

func TestKeysAreShared(t *testing.T) {
	for _, n := range []int{2, 4, 16, 100} {
		f := newFixture(1)
		f.fill(n)
		counts := map[string]int{}
		for _, owner := range owners(t, f.Picker(Sticky())) {
			counts[owner]++
		}
		_, most := spread(counts, f.ids())
		t.Logf("n=%d: greatest share %.3f of the mean", n, float64(most*n)/manyKeys)
		require.LessOrEqual(t, float64(most*n)/manyKeys, 1.35)
	}
}

func TestClientsAgreeOnKeys(t *testing.T) {
	a, b := newFixture(1), newFixture(2)
	a.fill(20)
	for i := 24; i >= 0; i-- { // in another order, and some leave
		b.Put(running(i))
	}
	for i := 20; i < 25; i++ {
		b.Remove(name(i))
	}
	require.Equal(t, owners(t, a.Picker(Sticky())), owners(t, b.Picker(Sticky())))
}

// TestKeysNeverMoveBetweenVersions pins the functions that all clients of a
// service have to agree on.
func TestKeysNeverMoveBetweenVersions(t *testing.T) {
	require.Equal(t, uint64(0xf52a15e9a9b5e89b), hashString(""))
	f := newFixture(1)
	f.fill(10)
	p := f.Picker(Sticky())
	var got []string
	for _, key := range []string{"a", "b", "BTC-USD", "customer/4711", "\x00", "ключ"} {
		got = append(got, call(t, p, Call{Key: key}))
	}
	require.Equal(t, []string{name(8), name(0), name(5), name(1), name(2), name(9)}, got)
}

func TestAHotKeySpreadsAndTheBoundHolds(t *testing.T) {
	for _, n := range []int{2, 5, 16} {
		f := newFixture(1)
		f.fill(n)
		p := f.Picker(Sticky())
		home := call(t, p, Call{Key: "hot"})
		counts := map[string]int{}
		for total := 1; total <= 50*n; total++ {
			i, err := p.Pick(Call{Key: "hot"})
			require.NoError(t, err)
			counts[i.ID()]++
			if total <= stickyFloor {
				require.Equal(t, home, i.ID(), "a few calls at once stay together")
			}
			bound := max(stickyFloor, int(stickyFactor*float64(total)/float64(n))+1)
			require.LessOrEqual(t, i.Outstanding(), bound)
		}
		require.Positive(t, counts[home])
	}
}

func TestRandomKeysKeepTheBound(t *testing.T) {
	f := newFixture(1)
	f.fill(10)
	p := f.Picker(Sticky())
	var open []*Instance
	for n := range 20_000 {
		if n%3 == 2 {
			at := f.rng.IntN(len(open))
			p.Finish(open[at], Outcome{})
			open[at] = open[len(open)-1]
			open = open[:len(open)-1]
			continue
		}
		i, err := p.Pick(Call{Key: strconv.Itoa(f.rng.IntN(40))})
		require.NoError(t, err)
		open = append(open, i)
		require.LessOrEqual(t, float64(i.Outstanding()), max(stickyFloor, stickyFactor*float64(len(open))/10+1))
	}
}

func TestAFullRingStillGivesSomebody(t *testing.T) {
	f := newFixture(1)
	f.fill(3)
	p := f.Picker(Sticky())
	view := p.current()
	for _, i := range view.list {
		i.outstanding.Store(1 << 40) // more than the set knows of
	}
	home := sticky{}.Pick(view, Call{Key: "k"})
	require.Equal(t, home, sticky{}.Pick(view, Call{Key: "k"}))
	var tried Tried
	tried.Add(view.At(home))
	require.NotEqual(t, home, sticky{}.Pick(view, Call{Key: "k", Tried: &tried}))
}

func TestRingFindsTheNextHash(t *testing.T) {
	for _, n := range []int{1, 2, 3, 7, 8, 1000} {
		f := newFixture(uint64(n))
		f.fill(n)
		r := newRing(f.Candidates())
		for k := 1; k < n; k++ {
			require.LessOrEqual(t, r.hashes[k-1], r.hashes[k])
		}
		for _, point := range []uint64{0, 1, 1 << 63, 1<<64 - 1, f.rng.Uint64(), f.rng.Uint64()} {
			want := 0
			for k, h := range r.hashes {
				if h >= point {
					want = k
					break
				}
			}
			require.Equal(t, want, r.after(point))
		}
		for k, owner := range r.owner {
			require.Equal(t, f.Candidates()[owner].hash, r.hashes[k])
		}
	}
}
