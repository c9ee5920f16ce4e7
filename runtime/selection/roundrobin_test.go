package selection

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

func spread(counts map[string]int, ids []string) (least, most int) {
	least, most = counts[ids[0]], counts[ids[0]]
	for _, id := range ids {
		least, most = min(least, counts[id]), max(most, counts[id])
	}
	return least, most
}

func TestRoundRobinIsExactWithinOne(t *testing.T) {
	for _, n := range []int{1, 2, 3, 16, 100} {
		f := newFixture(uint64(n))
		f.fill(n)
		p := f.Picker(RoundRobin())
		counts := map[string]int{}
		for range 5*n + n/2 {
			counts[call(t, p, Call{})]++
			least, most := spread(counts, f.ids())
			require.LessOrEqual(t, most-least, 1)
		}
	}
}

func TestRoundRobinIsExactUnderConcurrency(t *testing.T) {
	set := NewSet(Config{})
	for i := range 7 {
		set.Put(running(i))
	}
	p := set.Picker(RoundRobin())
	var mu sync.Mutex
	counts := map[string]int{}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			mine := map[string]int{}
			for range 1001 {
				i, err := p.Pick(Call{})
				if err == nil {
					mine[i.ID()]++
					p.Finish(i, Outcome{})
				}
			}
			mu.Lock()
			defer mu.Unlock()
			for id, n := range mine {
				counts[id] += n
			}
		})
	}
	wg.Wait()
	require.Len(t, counts, 7)
	total := 0
	for _, n := range counts {
		total += n
		require.InDelta(t, 8*1001/7, n, 1)
	}
	require.Equal(t, 8*1001, total)
}

func TestRoundRobinIsExactForThoseThatHaveTheMethod(t *testing.T) {
	f := newFixture(1)
	f.fill(20)
	old := map[string]bool{}
	for _, i := range []int{0, 1, 2, 7, 19} { // neighbours: nobody gets their share besides its own
		f.Put(Info{ID: name(i), Process: "old", State: StateRunning, Methods: []string{"Do"}, Tag: i})
		old[name(i)] = true
	}
	require.Equal(t, 19, f.Candidates()[19].Tag())
	get, do := f.MethodPicker("Get", RoundRobin()), f.MethodPicker("Do", RoundRobin())
	counts := map[string]int{}
	for range 15 * 4 {
		id := call(t, get, Call{})
		require.False(t, old[id], id)
		counts[id]++
	}
	require.Len(t, counts, 15)
	for id, n := range counts {
		require.Equal(t, 4, n, id)
	}
	for range 20 {
		delete(old, call(t, do, Call{}))
	}
	require.Empty(t, old, "they get what they have")
}

// TestRetriesComeOutOfTurn: what one instance refuses does not shift the turn of
// the others.
func TestRetriesComeOutOfTurn(t *testing.T) {
	f := newFixture(1)
	f.fill(4)
	p := f.Picker(RoundRobin())
	first := map[string]int{}
	for range 40 {
		var tried Tried
		i, err := p.Pick(Call{Tried: &tried})
		require.NoError(t, err)
		first[i.ID()]++
		tried.Add(i)
		p.Finish(i, Outcome{Failure: FailureOverloaded})
		again, err := p.Pick(Call{Tried: &tried})
		require.NoError(t, err)
		require.NotEqual(t, i, again)
		p.Finish(again, Outcome{})
	}
	for _, id := range f.ids() {
		require.Equal(t, 10, first[id], id)
	}
}

// TestRoundRobinIsExactForThoseThatStay changes the candidates at any time: those
// that were there all along stay within one of each other.
func TestRoundRobinIsExactForThoseThatStay(t *testing.T) {
	for seed := range uint64(50) {
		f := newFixture(seed)
		f.fill(20)
		p := f.Picker(RoundRobin())
		counts := map[string]int{}
		stay := []string{name(0), name(5), name(10), name(19)}
		for range 1000 {
			other := []int{1, 4, 6, 11, 18, 20}[f.rng.IntN(6)]
			switch f.rng.IntN(8) {
			case 0:
				f.Remove(name(other))
			case 1:
				f.Put(running(other))
			}
			counts[call(t, p, Call{})]++
			least, most := spread(counts, stay)
			require.LessOrEqual(t, most-least, 1)
		}
	}
}

func TestRoundRobinStartsAnywhere(t *testing.T) {
	first := map[string]bool{}
	for seed := range uint64(200) {
		f := newFixture(seed)
		f.fill(4)
		first[call(t, f.Picker(RoundRobin()), Call{})] = true
	}
	require.Len(t, first, 4)
}

func TestRoundRobinGoesOnAfterNobodyWasLeft(t *testing.T) {
	f := newFixture(1)
	p := f.Picker(RoundRobin())
	for range 3 {
		_, err := p.Pick(Call{})
		require.ErrorIs(t, err, ErrNoInstance)
		f.fill(2)
		first := call(t, p, Call{})
		require.NotEqual(t, first, call(t, p, Call{}))
		f.Replace(nil)
	}
}

func TestRandomIsFair(t *testing.T) {
	f := newFixture(1)
	f.fill(16)
	p := f.Picker(Random())
	counts := map[string]int{}
	for range 160_000 {
		counts[call(t, p, Call{})]++
	}
	for _, n := range counts {
		require.InDelta(t, 10_000, n, 500, "five standard deviations")
	}
	require.Len(t, counts, 16)
}
