// Package reigns has the history of who led a single active group, with each time in which
// nobody did. It is told what a watcher hears and finds out, reads no clock, and is not safe
// for concurrent use.
//
// A watcher hears of a leader by its announcement, which comes when it serves, and by its
// heartbeats; that a leader has released the group it hears as well. That a leader was
// killed it has to find out: by asking whether anybody listens at the leader. All times are
// the watcher's own, so that the clocks of other machines play no part.
package reigns

import (
	"slices"
	"time"
)

// room is how many reigns and gaps are remembered. A group whose leaders take turns faster than
// that in an hour has no history that anybody could read.
const room = 500

// State says how a leadership is.
type State int

// The states.
const (
	None   State = iota // nobody leads, as far as is known
	Leads               // the leader answers, or has not been asked yet
	Silent              // the leader does not answer, and its connection is there
	Gone                // the connection of the leader is not there, and nobody follows yet
)

// Cause is why a gap has begun.
type Cause int

// The causes of gaps.
const (
	Unknown     Cause = iota // only that another one leads was seen
	Stopped                  // the leader has released the group
	Lost                     // the leader's connection was gone
	Unanswering              // the leader did not answer until another one followed
)

// Leader is who leads in a term.
type Leader struct {
	Instance, Process string
	Term              uint64
}

// Reign is a time in which one instance led in one term.
type Reign struct {
	Leader

	From time.Time
	To   time.Time // zero while it lasts
}

// Gap is a time in which nobody led.
type Gap struct {
	Cause

	From          time.Time
	To            time.Time // zero while it lasts
	Before, After string    // instances; "" if not known
	// Exact: both ends were seen, to the time between two questions. Else the watcher was
	// blind at one of them.
	Exact bool
}

// Length returns how long a gap has lasted at now.
func (g Gap) Length(now time.Time) time.Duration {
	to := g.To
	if to.IsZero() {
		to = now
	}
	return max(to.Sub(g.From), 0)
}

// Group is the history of one group. The zero Group is that of a group of which nothing was
// heard yet.
type Group struct {
	reigns []Reign
	gaps   []Gap
	state  State
	since  time.Time // of the state
	seen   time.Time // when the leader was heard last
	blind  bool      // the watcher hears nothing now, or did not since the last news
	past   Total     // of the gaps that are forgotten
}

// Total is how often, and how long together, nobody led.
type Total struct {
	Gaps   uint64
	Length time.Duration
}

// State returns how the leadership is, and since when.
func (g *Group) State() (State, time.Time) { return g.state, g.since }

// Leader returns who leads, or led last; false if nobody ever did.
func (g *Group) Leader() (Leader, bool) {
	if len(g.reigns) == 0 {
		return Leader{}, false
	}
	return g.reigns[len(g.reigns)-1].Leader, true
}

// Lead takes in that an instance leads. An older term than the last one changes nothing.
func (g *Group) Lead(now time.Time, l Leader) {
	last := g.last()
	switch {
	case last == nil:
		g.reigns = append(g.reigns, Reign{Leader: l, From: now})
		g.closeGap(now, l.Instance)
	case l.Term < last.Term:
		return
	case l.Term == last.Term:
		if last.Process == "" {
			last.Process = l.Process // it was not said at first
		}
		if !last.To.IsZero() { // its connection was away and is back
			last.To = time.Time{}
			g.closeGap(now, l.Instance)
		}
	default:
		g.succeed(now, last, l)
	}
	g.seen, g.blind = now, false
	g.enter(now, Leads)
}

// succeed begins a new reign. If the end of the last one was not seen, it was between the
// last sign of life and now.
func (g *Group) succeed(now time.Time, last *Reign, l Leader) {
	if last.To.IsZero() {
		end, cause := now, Unknown
		if g.state == Silent {
			end, cause = g.since, Unanswering
		} else if g.blind {
			end = g.seen
		}
		last.To = end
		if end.Before(now) {
			g.gaps = append(g.gaps, Gap{From: end, Cause: cause, Before: last.Instance, Exact: !g.blind})
		}
	}
	g.closeGap(now, l.Instance)
	g.reigns = append(g.reigns, Reign{Leader: l, From: now})
	g.reigns = g.reigns[max(len(g.reigns)-room, 0):]
	g.gaps = g.gaps[max(len(g.gaps)-room, 0):]
}

// Stop takes in that the leader of a term has released the group.
func (g *Group) Stop(now time.Time, term uint64) { g.end(now, None, Stopped, g.isLast(term)) }

// Lose takes in that the connection of a process is gone.
func (g *Group) Lose(now time.Time, process string) {
	last := g.last()
	g.end(now, Gone, Lost, last != nil && last.Process == process)
}

// Answer takes in that a process answers.
func (g *Group) Answer(now time.Time, process string) {
	last := g.last()
	if last == nil || last.Process != process {
		return
	}
	switch g.state {
	case Leads, Silent:
		g.seen, g.blind = now, false
		g.enter(now, Leads)
	case Gone: // it is back, and whether it still leads its next word says
		g.seen = now
	case None:
	}
}

// Miss takes in that a process has not answered since some time.
func (g *Group) Miss(since time.Time, process string) {
	last := g.last()
	if g.state == Leads && last.Process == process {
		g.enter(latest(since, g.seen), Silent)
	}
}

// Blind takes in that the watcher hears nothing from now on.
func (g *Group) Blind() {
	g.blind = true
	if n := len(g.gaps); n > 0 && g.gaps[n-1].To.IsZero() {
		g.gaps[n-1].Exact = false
	}
}

// Forget removes what has ended before a time. The last reign stays.
func (g *Group) Forget(before time.Time) {
	last := g.last()
	if last == nil {
		return
	}
	term := last.Term
	g.reigns = slices.DeleteFunc(g.reigns, func(r Reign) bool { return r.Term != term && r.To.Before(before) })
	g.gaps = slices.DeleteFunc(g.gaps, func(x Gap) bool {
		old := !x.To.IsZero() && x.To.Before(before)
		if old {
			g.past.add(x, before)
		}
		return old
	})
}

// Total returns the total of all gaps up to now, with those that are forgotten. It never
// becomes less as long as now does not.
func (g *Group) Total(now time.Time) Total {
	total := g.past
	for _, x := range g.gaps {
		total.add(x, now)
	}
	return total
}

func (t *Total) add(x Gap, now time.Time) {
	t.Gaps++
	t.Length += x.Length(now)
}

// Reigns returns the reigns that are remembered, the oldest first.
func (g *Group) Reigns() []Reign { return slices.Clone(g.reigns) }

// Gaps returns the gaps that are remembered, the oldest first.
func (g *Group) Gaps() []Gap { return slices.Clone(g.gaps) }

func (g *Group) last() *Reign {
	if len(g.reigns) == 0 {
		return nil
	}
	return &g.reigns[len(g.reigns)-1]
}

func (g *Group) isLast(term uint64) bool {
	last := g.last()
	return last != nil && last.Term == term
}

// end ends the last reign, if it is concerned and lasts.
func (g *Group) end(now time.Time, s State, why Cause, concerned bool) {
	last := g.last()
	if !concerned || !last.To.IsZero() {
		return
	}
	last.To = now
	g.gaps = append(g.gaps, Gap{From: now, Cause: why, Before: last.Instance, Exact: !g.blind})
	g.enter(now, s)
}

// closeGap ends the gap that lasts, if there is one.
func (g *Group) closeGap(now time.Time, after string) {
	if n := len(g.gaps); n > 0 && g.gaps[n-1].To.IsZero() {
		gap := &g.gaps[n-1]
		gap.To, gap.After = latest(now, gap.From), after
		if g.blind {
			gap.Exact = false
		}
	}
}

func (g *Group) enter(now time.Time, s State) {
	if g.state != s || g.since.IsZero() {
		g.state, g.since = s, now
	}
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
