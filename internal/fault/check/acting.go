package check

import (
	"cmp"
	"math"
	"slices"

	"github.com/aegisrpc/aegis/internal/fault/history"
)

// judgeTokens looks at the calls of OnLeading: each term is one process's, and
// the terms increase with time.
func (v *Verdict) judgeTokens(h *History) {
	type election struct {
		history.Record
		process string
	}
	var elections []election
	for process, records := range h.Processes {
		for _, r := range records {
			if r.Kind == history.Elected {
				elections = append(elections, election{r, process})
			}
		}
	}
	slices.SortFunc(elections, func(a, b election) int { return cmp.Compare(a.Begin, b.Begin) })
	for i := 1; i < len(elections); i++ {
		if before, e := elections[i-1], elections[i]; e.Term <= before.Term {
			v.foundf(&v.Tokens, "%s was elected for term %d after %s for term %d", e.process, e.Term, before.process, before.Term)
		}
	}
}

// judgeActing checks that starts of handlers and replies are ordered by term: once a
// handler of a later term has started, no handler of an earlier term starts or
// replies. A handler counts as started when the runtime let it in. A reply counts
// from the time at which its handler had returned, as the runtime checks the reply
// after that.
func (v *Verdict) judgeActing(h *History) {
	next := firstOfLater(h)
	replied := make(map[uint64]history.Record)
	for _, c := range h.Calls {
		if c.Outcome == history.Accepted {
			replied[c.ID] = c
		}
	}
	for process, records := range h.Processes {
		for _, r := range records {
			later := next(r.Term)
			switch {
			case r.Kind == history.Started && r.Begin > later:
				v.foundf(&v.Overlaps, "%s started call %x in term %d %v after a later leader had started one",
					process, r.ID, r.Term, since(later, r.Begin))
			case r.Kind == history.Started && r.End > later:
				v.foundf(&v.Stragglers, "%s let in call %x of term %d and ran it %v later, %v after a later leader had started one",
					process, r.ID, r.Term, since(r.Begin, r.End), since(later, r.End))
			case r.Kind == history.Ended && r.End > later && replied[r.ID].Term == r.Term:
				v.foundf(&v.Overlaps, "%s replied to call %x in term %d %v after a later leader had started one",
					process, r.ID, r.Term, since(later, r.End))
			}
		}
	}
}

// firstOfLater returns a function that tells when the first handler of any later
// term than the given one ran.
func firstOfLater(h *History) func(term uint64) int64 {
	first := make(map[uint64]int64)
	for _, records := range h.Processes {
		for _, r := range records {
			if r.Kind != history.Started {
				continue
			}
			if at, known := first[r.Term]; !known || r.End < at {
				first[r.Term] = r.End
			}
		}
	}
	terms := make([]uint64, 0, len(first))
	for term := range first {
		terms = append(terms, term)
	}
	slices.Sort(terms)
	later := make([]int64, len(terms)+1) // the earliest of terms[i:]
	later[len(terms)] = math.MaxInt64
	for i := len(terms) - 1; i >= 0; i-- {
		later[i] = min(first[terms[i]], later[i+1])
	}
	return func(term uint64) int64 {
		i, _ := slices.BinarySearch(terms, term+1)
		return later[i]
	}
}
