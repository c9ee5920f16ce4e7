package check

import (
	"time"

	"github.com/aegisrpc/aegis/internal/fault/history"
)

func since(from, to int64) time.Duration { return time.Duration(to - from).Round(time.Microsecond) }

// judgeStored compares what callers were told with what is in the store.
func (v *Verdict) judgeStored(h *History) {
	times := make(map[uint64]int, len(h.Stored.Writes))
	var newest uint64
	for _, w := range h.Stored.Writes {
		if w.Term < newest {
			v.foundf(&v.Unfenced, "the store holds call %x of term %d behind one of term %d", w.ID, w.Term, newest)
		}
		newest = max(newest, w.Term)
		if w.ID == 0 {
			continue
		}
		times[w.ID]++
		if times[w.ID] == 2 {
			v.foundf(&v.Doubled, "call %x is in the store more than once", w.ID)
		}
	}
	for _, c := range h.Calls {
		switch {
		case c.Outcome == history.Accepted && times[c.ID] == 0:
			v.foundf(&v.Lost, "call %x was accepted in term %d and is not in the store", c.ID, c.Term)
		case c.Outcome == history.Refused && times[c.ID] > 0:
			v.foundf(&v.Contradicted, "call %x was refused as not run and is in the store", c.ID)
		}
	}
}
