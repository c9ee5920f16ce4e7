package selection

import "sync/atomic"

// RoundRobin returns the strategy that picks the candidates in turn, in the order of their
// IDs, from a random one on.
//
// It is exact within one: of the calls of one picker, no candidate gets two more than
// another, from whatever number of goroutines the calls come. When candidates come or go,
// the turn goes on at the candidate that would have been next, so that those that stay are
// still within one of each other; each call that is being picked at that very moment can
// add one to the difference. A retry takes the next candidate that was not tried, out of
// turn.
func RoundRobin() Strategy { return roundRobin{} }

type roundRobin struct{ Ignorant }

// turn counts the picks from one view.
type turn struct {
	first uint64 // the position of the first pick
	picks atomic.Uint64
}

func (roundRobin) Prepare(view, previous *View) any {
	n := uint64(view.Len())
	if previous == nil {
		return &turn{first: view.set.cfg.Rand() % n}
	}
	before, ok := previous.prepared.(*turn)
	if !ok { // there were no candidates
		return &turn{first: view.set.cfg.Rand() % n}
	}
	at := (before.first + before.picks.Load()) % uint64(previous.Len())
	next, _ := view.Index(previous.list[at].id) // where it is, or would be
	return &turn{first: uint64(next) % n}
}

func (roundRobin) Pick(view *View, call Call) int {
	t, ok := view.prepared.(*turn)
	if !ok {
		return None
	}
	picks := t.picks.Load()
	if call.Tried.Len() == 0 {
		picks = t.picks.Add(1) - 1
	}
	return int((t.first + picks) % uint64(view.Len()))
}
