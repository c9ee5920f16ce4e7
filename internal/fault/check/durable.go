package check

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/aegisrpc/aegis/internal/fault/history"
)

// Durable is what one run of commands or of durable events left behind. All
// times are readings of the shared clock.
type Durable struct {
	// Workers has the records of each process that worked.
	Workers map[string][]history.Record
	// Sent has the records of the sender.
	Sent []history.Record
	// Killed is when workers were killed; those that were stopped are not in it.
	Killed map[string]int64
	// Outages are the times in which NATS was away.
	Outages []Outage
	// Deposed are the times in which consumers got another leader, which may not know
	// of the last acknowledgements.
	Deposed []Outage
	// Given is when workers were given items, by worker and item; empty where nobody
	// has noted that.
	Given map[string]map[uint64][]int64
	// Results are all that were stored for commands, also those that are there no
	// more; nil for events.
	Results []Result
	// Found is what handles that were found again by their id said in the end, of
	// some commands: of those whose sender was told nothing, and of a sample.
	Found map[uint64]Found
	// Dead are the dead letters.
	Dead []Dead
	// Left is how many messages the consumers had left when it was judged.
	Left int
	// Attempts is how many there may be.
	Attempts int
	// AckWait is how long NATS waits for a sign of life.
	AckWait time.Duration
}

// Outage is a restart of NATS.
type Outage struct {
	From int64 `json:"from"`
	To   int64 `json:"to"`
}

// Result is one result that was stored.
type Result struct {
	End

	Command string // its id
	ID      uint64 // what the sender calls it; 0 if nobody knows
	Gone    bool   // it is not stored any more
}

// End is how a command has ended.
type End struct {
	OK   bool   // it succeeded
	Run  uint64 // which attempt it is of, if it did
	Code uint64 // of the error, if it did not
}

// Found is what a handle said of a command.
type Found struct {
	End // if it has ended

	State FoundState
}

// FoundState says whether a command is there, and has ended.
type FoundState int

const (
	// FoundNothing means that there is no such command.
	FoundNothing FoundState = iota
	// FoundWaiting means that it waits or runs.
	FoundWaiting
	// FoundEnded means that it has a result.
	FoundEnded
)

// Dead is one dead letter.
type Dead struct {
	ID       uint64
	Attempts int
	At       int64
}

// DurableVerdict counts violations. The first six counts have to be zero.
type DurableVerdict struct {
	findings

	// Lost are commands of which nothing is stored any more, and events that nobody
	// has handled and that are not among the dead letters.
	Lost int `json:"lost"`
	// Hung are commands and events that are stored and did not end, and results
	// that the sender was not told.
	Hung int `json:"hung"`
	// Doubled are attempts that should not have been, and second results and dead
	// letters.
	Doubled int `json:"doubled"`
	// Disordered are events that were handled before an earlier one of their key
	// was done.
	Disordered int `json:"disordered"`
	// Exceeded are attempts beyond the limit.
	Exceeded int `json:"exceeded"`
	// Contradicted are results and dead letters that no attempt explains, and all
	// that somebody was told and is stored otherwise.
	Contradicted int `json:"contradicted"`

	Accepted     int `json:"accepted"`
	Refused      int `json:"refused,omitempty"` // of these nothing may be stored
	Found        int `json:"found,omitempty"`   // commands that were looked up by their id
	Unknown      int `json:"unknown"`           // may be stored, and so may be done
	Done         int `json:"done"`
	Dead         int `json:"dead"`
	Again        int `json:"again"` // attempts that came after another one of theirs
	MostAttempts int `json:"most_attempts"`
	// Stalls are times in which a process did not get to run, or NATS did not
	// answer it, for so long that what it held may have been given to others.
	Stalls int `json:"stalls"`
}

// Bad returns the number of violations.
func (v *DurableVerdict) Bad() int {
	return v.Lost + v.Hung + v.Doubled + v.Disordered + v.Exceeded + v.Contradicted
}

// JudgeDurable applies all checks of durable work.
func JudgeDurable(h *Durable) DurableVerdict {
	j := &durableJudge{h: h, attempts: make(map[uint64][]*attempt), told: make(map[uint64]history.Record), dead: make(map[uint64]Dead)}
	j.collect()
	j.judgeAttempts()
	j.judgeDead()
	j.judgeEnds()
	j.judgeKeys()
	return j.DurableVerdict
}

type durableJudge struct {
	DurableVerdict

	h        *Durable
	attempts map[uint64][]*attempt // as they began
	signs    map[string][]history.Record
	stalls   map[string][]Outage
	told     map[uint64]history.Record // the results, as the sender heard of them
	dead     map[uint64]Dead
}

// attempt is one run of a handler.
type attempt struct {
	history.Record // as it began, or as it has ended
	process        string
}

func (a *attempt) ended() bool { return a.Kind == history.Ended }

// over returns when the attempt had ended. An attempt whose process was killed never
// did.
func (a *attempt) over() int64 {
	if a.ended() {
		return a.End
	}
	return math.MaxInt64
}

func (j *durableJudge) collect() {
	type run struct {
		id    uint64
		begin int64
	}
	j.signs, j.stalls = make(map[string][]history.Record), make(map[string][]Outage)
	for process, records := range j.h.Workers {
		runs := make(map[run]*attempt)
		for _, r := range records {
			switch r.Kind {
			case history.Started:
				a := &attempt{r, process}
				runs[run{r.ID, r.Begin}] = a
				j.attempts[r.ID] = append(j.attempts[r.ID], a)
			case history.Ended:
				if a := runs[run{r.ID, r.Begin}]; a != nil {
					a.Record = r
				}
			case history.Answered:
				j.signs[process] = append(j.signs[process], r)
			case history.Elected, history.Called, history.Resulted: // of others
			}
		}
		j.findStalls(process)
	}
	for _, of := range j.attempts {
		slices.SortFunc(of, func(a, b *attempt) int { return cmp.Compare(a.Begin, b.Begin) })
	}
	for _, r := range j.h.Sent {
		if r.Kind == history.Resulted {
			j.told[r.ID] = r
		}
	}
}

// findStalls looks for signs of life that are too far apart.
func (j *durableJudge) findStalls(process string) {
	signs := j.signs[process]
	slices.SortFunc(signs, func(a, b history.Record) int { return cmp.Compare(a.Begin, b.Begin) })
	limit := int64(j.h.AckWait / 2)
	for i, sign := range signs {
		from, to := sign.Begin, j.h.Killed[process]
		if i+1 < len(signs) {
			to = signs[i+1].End
		}
		if to-from > limit {
			j.stalls[process] = append(j.stalls[process], Outage{from, to})
			j.Stalls++
		}
	}
}

func (j *durableJudge) judgeAttempts() {
	for id, of := range j.attempts {
		counted := tally{limit: j.h.Attempts}
		for i, a := range of {
			n := int(a.Term)
			j.MostAttempts = max(j.MostAttempts, n)
			if i == 0 {
				continue
			}
			j.Again++
			if j.count(&counted, of[i-1], a); counted.attempts >= j.h.Attempts {
				j.foundf(&j.Exceeded, "%s began attempt %d of %d after %d that count, which is the limit", a.process, n, id, counted.attempts)
			}
			if before := of[i-1]; !j.mayFollow(before, a) {
				j.foundf(&j.Doubled, "%s began attempt %d of %d at %d, and %s had %s attempt %d, begun %v before",
					a.process, n, id, a.Begin, before.process, state(before, a.Begin), before.Term, since(before.Begin, a.Begin))
			}
		}
	}
}

func state(a *attempt, at int64) string {
	switch {
	case a.over() > at:
		return "not ended"
	case a.Outcome == history.Accepted:
		return fmt.Sprint("done ", since(a.End, at), " ago")
	default:
		return "failed in"
	}
}

// mayFollow tells whether there is a reason for another attempt.
func (j *durableJudge) mayFollow(before, next *attempt) bool {
	if j.away(before, next) || j.stalled(before, next) || j.deposed(before) || j.givenToBoth(before, next) {
		return true
	}
	if next.Term <= before.Term {
		return false // each delivery is one attempt, and has a number of its own
	}
	killed, dead := j.h.Killed[before.process]
	dead = dead && killed < next.Begin
	switch {
	case before.over() > next.Begin:
		return dead
	case before.Outcome == history.Refused:
		return true // it is to be tried again
	case j.h.Results != nil:
		told, ok := j.told[next.ID]
		return dead && (!ok || told.End > next.Begin) // else there was a result to be found
	case before.Outcome == history.Accepted:
		return dead && !j.acknowledged(before)
	default:
		return dead // before the dead letter was stored
	}
}

// soon is how long acknowledgements that NATS has taken may be missing on its disk,
// and how long NATS needs after a restart until everything is as it was.
const soon = int64(time.Second)

// away tells whether NATS was restarted while it mattered.
func (j *durableJudge) away(before, next *attempt) bool {
	for _, o := range j.h.Outages {
		if before.Begin <= o.To+soon && min(before.over(), next.Begin) >= o.From-soon && next.Begin >= o.From {
			return true
		}
	}
	return false
}

// deposed tells whether an attempt ended when its consumer got another leader. An
// attempt that began before and goes on is no excuse: its worker gives signs of life
// to the next leader.
func (j *durableJudge) deposed(before *attempt) bool {
	for _, o := range j.h.Deposed {
		if before.ended() && before.End >= o.From-soon && before.End <= o.To+soon {
			return true
		}
	}
	return false
}

// givenToBoth tells whether NATS gave an item to one of two workers while the other
// one had it, as its consumer got another leader: while there is no leader, signs of
// life reach nobody. If the item is a command, both workers must have begun at about
// the same time, as they look for a result last. A single worker knows which items it
// has in hand.
func (j *durableJudge) givenToBoth(before, next *attempt) bool {
	if before.process == next.process || j.h.Results != nil && next.Begin-before.Begin > acknowledging {
		return false
	}
	until := min(before.over(), next.Begin) + acknowledging
	had := func(a *attempt) (had, asDeposed bool) {
		for _, at := range j.h.Given[a.process][a.ID] {
			if at <= until {
				had, asDeposed = true, asDeposed || j.leaderless(at)
			}
		}
		return had, asDeposed
	}
	beforeHad, beforeAsDeposed := had(before)
	nextHad, nextAsDeposed := had(next)
	return beforeHad && nextHad && (beforeAsDeposed || nextAsDeposed)
}

// leaderless tells whether an item that a consumer delivered at this time may be in
// other hands.
func (j *durableJudge) leaderless(at int64) bool {
	return slices.ContainsFunc(j.h.Deposed, func(o Outage) bool { return at >= o.From && at <= o.To+soon+int64(j.h.AckWait) })
}

// stalled tells whether NATS had reason to believe that one of the two was lost.
func (j *durableJudge) stalled(before, next *attempt) bool {
	for _, process := range []string{before.process, next.process} {
		for _, s := range j.stalls[process] {
			if s.From <= next.Begin && s.To >= before.Begin-2*int64(j.h.AckWait) {
				return true
			}
		}
	}
	return false
}

// acknowledging is how long it may take from the end of a handler until the
// acknowledgement is on its way.
const acknowledging = int64(250 * time.Millisecond)

// acknowledged tells whether NATS is known to have the acknowledgement: NATS has
// answered something that was sent later over the same connection.
func (j *durableJudge) acknowledged(a *attempt) bool {
	signs := j.signs[a.process]
	return len(signs) > 0 && signs[len(signs)-1].Begin > a.End+acknowledging
}

// judgeDead checks that each dead letter had to be written.
func (j *durableJudge) judgeDead() {
	for _, d := range j.h.Dead {
		if _, twice := j.dead[d.ID]; twice {
			j.foundf(&j.Doubled, "there are two dead letters of %d", d.ID)
			continue
		}
		j.dead[d.ID] = d
		if d.Attempts > j.h.Attempts {
			j.foundf(&j.Exceeded, "%d is dead after %d attempts, and %d is the limit", d.ID, d.Attempts, j.h.Attempts)
		}
		hopeless := slices.ContainsFunc(j.attempts[d.ID], func(a *attempt) bool { return a.ended() && a.Outcome == history.GivenUp })
		if !hopeless && d.Attempts < j.h.Attempts {
			j.foundf(&j.Contradicted, "%d is dead after %d attempts, none of which gave it up", d.ID, d.Attempts)
		}
		if begun := len(j.attempts[d.ID]); !hopeless && begun+1 < j.h.Attempts && !j.shaken(d) {
			j.foundf(&j.Contradicted, "%d is dead after %d attempts, and %d began", d.ID, d.Attempts, begun)
		}
	}
	j.Dead = len(j.dead)
}

// succeeded tells whether an attempt has succeeded.
func (j *durableJudge) succeeded(id uint64) bool {
	return slices.ContainsFunc(j.attempts[id], func(a *attempt) bool { return a.ended() && a.Outcome == history.Accepted })
}

// judgeKeys checks that no event was begun before all earlier ones of its key
// were done, for the first time, or dead.
func (j *durableJudge) judgeKeys() {
	keys := make(map[uint32][]uint64)
	for _, r := range j.h.Sent {
		if r.Kind == history.Called && r.Key != 0 {
			keys[r.Key] = append(keys[r.Key], r.ID)
		}
	}
	for key, ids := range keys {
		slices.Sort(ids)
		var done int64 // all before
		var last uint64
		for _, id := range ids {
			of := j.attempts[id]
			if len(of) > 0 && of[0].Begin < done {
				j.foundf(&j.Disordered, "event %d of key %d was begun by %s %v before event %d was done", id, key, of[0].process, since(of[0].Begin, done), last)
			}
			if at := j.settled(id); at > done {
				done, last = at, id
			}
		}
	}
}

// settled returns when an event was done for the first time, or dead; 0 if neither
// ever happened.
func (j *durableJudge) settled(id uint64) int64 {
	first := int64(0)
	for _, a := range j.attempts[id] {
		if a.ended() && a.Outcome != history.Refused && (first == 0 || a.End < first) {
			first = a.End
		}
	}
	if d, dead := j.dead[id]; first == 0 && dead {
		return d.At
	}
	return first
}
