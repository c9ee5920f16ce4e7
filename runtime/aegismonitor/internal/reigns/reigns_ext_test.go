package reigns_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/reigns"
)

var start = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func at(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }

func leader(name string, term uint64) reigns.Leader {
	return reigns.Leader{Instance: name, Process: "process of " + name, Term: term}
}

func onlyGap(t *testing.T, g *reigns.Group) reigns.Gap {
	t.Helper()
	gaps := g.Gaps()
	require.Len(t, gaps, 1)
	return gaps[0]
}

func TestNobodyIsKnownAtFirst(t *testing.T) {
	t.Parallel()
	var g reigns.Group
	g.Stop(at(0), 7)
	g.Lose(at(0), "p")
	g.Answer(at(0), "p")
	g.Miss(at(0), "p")
	g.Blind()
	g.Forget(at(0))
	_, known := g.Leader()
	require.False(t, known)
	require.Empty(t, g.Gaps())
	state, _ := g.State()
	require.Equal(t, reigns.None, state)
}

func TestAKilledLeaderLeavesAGapUntilTheNextOne(t *testing.T) {
	t.Parallel()
	var g reigns.Group
	g.Lead(at(0), leader("a", 1))
	g.Answer(at(900), "process of a")
	g.Lose(at(1000), "process of b") // a standby
	require.Empty(t, g.Gaps())
	g.Lose(at(1000), "process of a")
	g.Lose(at(1200), "process of a")
	state, since := g.State()
	require.Equal(t, reigns.Gone, state)
	require.Equal(t, at(1000), since)
	require.Equal(t, 150*time.Millisecond, onlyGap(t, &g).Length(at(1150)))
	g.Lead(at(1160), leader("b", 2))
	require.Equal(t, reigns.Gap{From: at(1000), To: at(1160), Cause: reigns.Lost, Before: "a", After: "b", Exact: true}, onlyGap(t, &g))
	l, _ := g.Leader()
	require.Equal(t, leader("b", 2), l)
	require.Equal(t, at(1000), g.Reigns()[0].To)
}

func TestAReleasedGroupHasAGapUntilTheNextLeader(t *testing.T) {
	t.Parallel()
	var g reigns.Group
	g.Lead(at(0), leader("a", 1))
	g.Stop(at(500), 1)
	g.Lead(at(530), leader("b", 2))
	g.Stop(at(531), 1) // a late word of the last term
	g.Lead(at(532), leader("a", 1))
	require.Equal(t, reigns.Gap{From: at(500), To: at(530), Cause: reigns.Stopped, Before: "a", After: "b", Exact: true}, onlyGap(t, &g))
	l, _ := g.Leader()
	require.Equal(t, "b", l.Instance)
}

func TestTheNextLeaderMayBeHeardBeforeTheLastOneStops(t *testing.T) {
	t.Parallel()
	var g reigns.Group
	g.Lead(at(0), leader("a", 1))
	g.Lead(at(500), leader("b", 2))
	g.Stop(at(501), 1)
	require.Empty(t, g.Gaps())
	require.Len(t, g.Reigns(), 2)
}

func TestAFrozenLeaderIsSilentUntilAnotherOneFollows(t *testing.T) {
	t.Parallel()
	var g reigns.Group
	g.Lead(at(0), leader("a", 1))
	g.Answer(at(1000), "process of a")
	g.Miss(at(1100), "process of a")
	state, since := g.State()
	require.Equal(t, reigns.Silent, state)
	require.Equal(t, at(1100), since)
	g.Answer(at(1500), "process of a")
	state, _ = g.State()
	require.Equal(t, reigns.Leads, state, "it was only slow")
	require.Empty(t, g.Gaps())
	g.Miss(at(2000), "process of a")
	g.Lead(at(4000), leader("b", 2))
	require.Equal(t, reigns.Gap{From: at(2000), To: at(4000), Cause: reigns.Unanswering, Before: "a", After: "b", Exact: true}, onlyGap(t, &g))
}

func TestALeaderWhoseConnectionComesBackGoesOn(t *testing.T) {
	t.Parallel()
	var g reigns.Group
	g.Lead(at(0), leader("a", 1))
	g.Lose(at(100), "process of a")
	g.Answer(at(200), "process of a")
	state, _ := g.State()
	require.Equal(t, reigns.Gone, state, "whether it still leads is not known")
	g.Lead(at(250), leader("a", 1))
	require.Equal(t, 150*time.Millisecond, onlyGap(t, &g).Length(at(999)))
	require.Len(t, g.Reigns(), 1)
	require.Zero(t, g.Reigns()[0].To)
}

func TestWhatABlindWatcherMissedIsNotExact(t *testing.T) {
	t.Parallel()
	var g reigns.Group
	g.Lead(at(0), leader("a", 1))
	g.Answer(at(1000), "process of a")
	g.Blind()
	g.Lead(at(9000), leader("b", 5))
	gap := onlyGap(t, &g)
	require.Equal(t, at(1000), gap.From, "it was heard last then")
	require.False(t, gap.Exact)
	g.Lose(at(9500), "process of b")
	g.Blind()
	g.Lead(at(9900), leader("c", 6))
	require.False(t, g.Gaps()[1].Exact)
	g.Lose(at(9950), "process of c")
	g.Lead(at(9960), leader("d", 7))
	require.True(t, g.Gaps()[2].Exact)
}

func TestWhatIsOldIsForgotten(t *testing.T) {
	t.Parallel()
	var g reigns.Group
	for i := range 100 {
		g.Lead(at(10*i), leader("a", uint64(i+1)))
		g.Stop(at(10*i+5), uint64(i+1))
	}
	g.Forget(at(950))
	require.Len(t, g.Gaps(), 6, "five, and the one that lasts")
	require.Len(t, g.Reigns(), 5)
	g.Forget(at(5000))
	require.Len(t, g.Reigns(), 1, "who led last")
	require.Len(t, g.Gaps(), 1)
}

func TestTheHistoryOfAGroupThatNeverRestsIsBounded(t *testing.T) {
	t.Parallel()
	var g reigns.Group
	for i := range 5000 {
		g.Lead(at(10*i), leader("a", uint64(i+1)))
		g.Stop(at(10*i+5), uint64(i+1))
	}
	require.LessOrEqual(t, len(g.Reigns()), 501)
	require.LessOrEqual(t, len(g.Gaps()), 501)
	l, _ := g.Leader()
	require.EqualValues(t, 5000, l.Term)
}

func TestTheProcessOfALeaderMayBeSaidLater(t *testing.T) {
	t.Parallel()
	var g reigns.Group
	g.Lead(at(0), reigns.Leader{Instance: "a", Term: 1})
	g.Lead(at(10), leader("a", 1))
	g.Lead(at(20), reigns.Leader{Instance: "a", Term: 1})
	g.Lose(at(30), "process of a")
	state, _ := g.State()
	require.Equal(t, reigns.Gone, state)
}

// Whatever is heard, in whatever order, no two reigns or gaps are at the same time, at most
// the last of each lasts, and terms ascend.
func TestReignsAndGapsTakeTurns(t *testing.T) {
	t.Parallel()
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 1))
		var g reigns.Group
		now, term := 0, uint64(1)
		for range 60 {
			now += r.IntN(50)
			name := string(rune('a' + r.IntN(3)))
			last, _ := g.Leader()
			if r.IntN(2) == 0 {
				name = last.Instance
			}
			switch r.IntN(7) {
			case 0:
				term++
				g.Lead(at(now), leader(name, term))
			case 1:
				if last.Term > 0 {
					g.Lead(at(now), last)
				}
			case 2:
				g.Stop(at(now), term-uint64(r.IntN(2)))
			case 3:
				g.Lose(at(now), "process of "+name)
			case 4:
				g.Answer(at(now), "process of "+name)
			case 5:
				g.Miss(at(now-r.IntN(200)), "process of "+name)
			case 6:
				g.Blind()
			}
			if r.IntN(10) == 0 {
				g.Forget(at(now - 300))
			}
			check(t, &g, at(now), seed)
		}
	}
}

func check(t *testing.T, g *reigns.Group, now time.Time, seed uint64) {
	t.Helper()
	type span struct{ from, to time.Time }
	ascend := func(spans []span) {
		for i, s := range spans {
			if s.to.IsZero() {
				require.Equal(t, len(spans)-1, i, "seed %d: only the last one lasts", seed)
				continue
			}
			require.False(t, s.to.Before(s.from), "seed %d", seed)
			require.False(t, s.to.After(now), "seed %d", seed)
			if i+1 < len(spans) {
				require.False(t, spans[i+1].from.Before(s.to), "seed %d: %v", seed, spans)
			}
		}
	}
	var list []span
	var term uint64
	for _, r := range g.Reigns() {
		require.Greater(t, r.Term, term, "seed %d", seed)
		term = r.Term
		list = append(list, span{r.From, r.To})
	}
	ascend(list)
	open := len(list) > 0 && list[len(list)-1].to.IsZero()
	list = nil
	for _, gap := range g.Gaps() {
		list = append(list, span{gap.From, gap.To})
	}
	ascend(list)
	gapLasts := len(list) > 0 && list[len(list)-1].to.IsZero()
	require.False(t, open && gapLasts, "seed %d: a reign and a gap last at once", seed)
	state, _ := g.State()
	require.Equal(t, open, state == reigns.Leads || state == reigns.Silent, "seed %d", seed)
}

func TestTheTotalKeepsWhatIsForgotten(t *testing.T) {
	t.Parallel()
	var g reigns.Group
	g.Lead(at(0), leader("a", 1))
	require.Zero(t, g.Total(at(0)))
	g.Stop(at(100), 1)
	require.Equal(t, reigns.Total{Gaps: 1, Length: 50 * time.Millisecond}, g.Total(at(150)), "while it lasts")
	g.Lead(at(200), leader("b", 2))
	g.Stop(at(1000), 2)
	g.Lead(at(1030), leader("a", 3))
	whole := reigns.Total{Gaps: 2, Length: 130 * time.Millisecond}
	require.Equal(t, whole, g.Total(at(2000)))
	g.Forget(at(500))
	require.Len(t, g.Gaps(), 1)
	require.Equal(t, whole, g.Total(at(2000)))
	g.Forget(at(5000))
	require.Empty(t, g.Gaps())
	require.Equal(t, whole, g.Total(at(9000)))
}
