package check

import (
	"fmt"
	"slices"

	"github.com/aegisrpc/aegis/internal/fault/history"
)

// judgeEnds judges how each command or event ended.
func (j *durableJudge) judgeEnds() {
	results := make(map[uint64][]Result)
	for _, r := range j.h.Results {
		results[r.ID] = append(results[r.ID], r)
		if r.ID == 0 {
			j.foundf(&j.Contradicted, "command %s has a result that belongs to nobody", r.Command)
		}
	}
	j.Found = len(j.h.Found)
	sent := make(map[uint64]bool)
	for _, r := range j.h.Sent {
		if r.Kind != history.Called {
			continue
		}
		sent[r.ID] = true
		switch r.Outcome {
		case history.Accepted:
			j.Accepted++
		case history.Unknown:
			j.Unknown++
		case history.Refused, history.GivenUp:
			j.Refused++
			j.judgeRefused(r, results[r.ID])
			continue
		}
		if j.h.Results != nil {
			j.judgeCommand(r, results[r.ID])
		} else {
			j.judgeEvent(r)
		}
	}
	for id := range j.attempts {
		if !sent[id] {
			j.foundf(&j.Contradicted, "nobody has sent what was handled as %d", id)
		}
	}
}

// judgeRefused checks that a refused send has stored nothing: a sender who is told so
// may send again.
func (j *durableJudge) judgeRefused(sent history.Record, results []Result) {
	_, dead := j.dead[sent.ID]
	if attempts := len(j.attempts[sent.ID]); attempts > 0 || dead || len(results) > 0 {
		j.foundf(&j.Contradicted, "the sender of %d was told that it is not stored, with code %d, and it had %d attempts", sent.ID, sent.Term, attempts)
	}
}

func (j *durableJudge) judgeEvent(sent history.Record) {
	_, dead := j.dead[sent.ID]
	switch done := j.succeeded(sent.ID); {
	case done:
		j.Done++
	case dead || sent.Outcome != history.Accepted:
	case j.h.Left > 0:
		j.foundf(&j.Hung, "event %d was stored, and in %d attempts never handled; the consumers have %d left", sent.ID, len(j.attempts[sent.ID]), j.h.Left)
	default:
		j.foundf(&j.Lost, "event %d was stored, and in %d attempts never handled", sent.ID, len(j.attempts[sent.ID]))
	}
}

// judgeCommand judges a command by its stored results.
func (j *durableJudge) judgeCommand(sent history.Record, results []Result) {
	if len(results) > 1 {
		j.foundf(&j.Doubled, "command %d has %d results", sent.ID, len(results))
	}
	i := slices.IndexFunc(results, func(r Result) bool { return !r.Gone })
	if i < 0 {
		j.judgeUnended(sent)
		return
	}
	_, dead := j.dead[sent.ID]
	end := results[i].End
	switch {
	case !end.OK && !dead:
		j.foundf(&j.Contradicted, "command %d failed, and is not among the dead letters", sent.ID)
	case end.OK && !j.succeededIn(sent.ID, end.Run):
		j.foundf(&j.Contradicted, "command %d succeeded, and no attempt did with this result", sent.ID)
	case end.OK && dead:
		j.foundf(&j.Contradicted, "command %d succeeded, and is among the dead letters", sent.ID)
	}
	if end.OK {
		j.Done++
	}
	j.judgeTold(sent, end)
}

// judgeUnended judges a command that has no result.
func (j *durableJudge) judgeUnended(sent history.Record) {
	if told, heard := j.told[sent.ID]; heard && told.Outcome != history.Unknown {
		j.foundf(&j.Contradicted, "the sender of command %d was told a result, and none is stored", sent.ID)
	}
	if sent.Outcome != history.Accepted {
		return
	}
	attempts := len(j.attempts[sent.ID])
	if found, looked := j.h.Found[sent.ID]; looked && found.State == FoundWaiting {
		j.foundf(&j.Hung, "command %d is stored, and in %d attempts got no result", sent.ID, attempts)
		return
	}
	j.foundf(&j.Lost, "command %d was stored, and in %d attempts got no result", sent.ID, attempts)
}

// judgeTold compares the result that the sender was told with the stored one.
func (j *durableJudge) judgeTold(sent history.Record, end End) {
	told, heard := j.told[sent.ID]
	switch {
	case !heard && sent.Outcome == history.Accepted:
		j.foundf(&j.Hung, "the sender of command %d was never told of its result", sent.ID)
	case heard && told.Outcome == history.Unknown:
		j.foundf(&j.Contradicted, "the sender of command %d was told that there is no such command, and it has a result", sent.ID)
	case heard && (told.Outcome == history.Accepted && told.Previous != sent.ID || endOf(told) != end):
		j.foundf(&j.Contradicted, "the sender of command %d was told %v, and stored is %v", sent.ID, endOf(told), end)
	}
	if found, looked := j.h.Found[sent.ID]; looked && (found.State != FoundEnded || found.End != end) {
		j.foundf(&j.Contradicted, "who found command %d by its id was told %v, and stored is %v", sent.ID, found, end)
	}
}

// endOf returns the end that a sender was told.
func endOf(told history.Record) End {
	if told.Outcome == history.Accepted {
		return End{OK: true, Run: told.Term}
	}
	return End{Code: told.Term}
}

func (e End) String() string {
	if e.OK {
		return fmt.Sprintf("success of run %x", e.Run)
	}
	return fmt.Sprint("failure with code ", e.Code)
}

func (f Found) String() string {
	switch f.State {
	case FoundEnded:
		return f.End.String()
	case FoundWaiting:
		return "that it waits or runs"
	default:
		return "that there is none"
	}
}

// succeededIn tells whether an attempt has succeeded with this result.
func (j *durableJudge) succeededIn(id, run uint64) bool {
	return slices.ContainsFunc(j.attempts[id], func(a *attempt) bool {
		return a.ended() && a.Outcome == history.Accepted && a.Previous == run
	})
}
