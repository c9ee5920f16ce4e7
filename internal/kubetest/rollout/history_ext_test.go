package rollout_test

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// operation is a call of the leader that was answered. What it knows then, each operation has to
// know that is called after that.
type operation struct {
	called, returned time.Time
	// placed is the order that the call accepted; its zero value if the call was a read.
	placed entry
	// orders are those that a read was given, after a sequence and up to a limit.
	orders []entry
	after  uint64
	limit  uint64
}

// entry is an order of the book.
type entry struct {
	id             string
	sequence, term uint64
}

// history checks what leaders have answered: together they have to be as one leader that never
// changed. A leader that goes on after its term is seen here, as is one that does not know all of
// those before it.
type history struct {
	known   map[uint64]entry // by the sequence: what answers have shown by now
	highest entry
	term    uint64
	wrong   []string
}

// violations returns what is wrong with operations, and with a book that was read after all of them.
func violations(operations []operation, book map[string]entry) []string {
	h := &history{known: map[uint64]entry{}}
	called := slices.SortedFunc(slices.Values(operations), func(a, b operation) int { return a.called.Compare(b.called) })
	returned := slices.SortedFunc(slices.Values(operations), func(a, b operation) int { return a.returned.Compare(b.returned) })
	for _, o := range called {
		for len(returned) > 0 && returned[0].returned.Before(o.called) {
			h.learn(returned[0])
			returned = returned[1:]
		}
		h.check(o)
	}
	for _, o := range returned {
		h.learn(o)
	}
	h.compare(book)
	return h.wrong
}

// learn adds what an operation has answered.
func (h *history) learn(o operation) {
	entries := o.orders
	if o.placed != (entry{}) {
		entries = []entry{o.placed}
	}
	for _, e := range entries {
		if other, ok := h.known[e.sequence]; ok && other != e {
			h.blame("%v and %v have one place", other, e)
		}
		h.known[e.sequence] = e
		h.highest = slices.MaxFunc([]entry{h.highest, e}, func(a, b entry) int { return cmp.Compare(a.sequence, b.sequence) })
		h.term = max(h.term, e.term)
	}
}

// check compares an operation with what was known when it was called.
func (h *history) check(o operation) {
	if o.placed != (entry{}) {
		if o.placed.sequence <= h.highest.sequence || o.placed.term < h.term {
			h.blame("terms overlap: %v was accepted after %v, and after term %d had begun", o.placed, h.highest, h.term)
		}
		return
	}
	read := map[uint64]entry{}
	for _, e := range o.orders {
		read[e.sequence] = e
	}
	for sequence := o.after + 1; sequence <= min(o.after+o.limit, h.highest.sequence); sequence++ {
		if e, ok := h.known[sequence]; ok && read[sequence] != e {
			h.blame("a read is stale: it has %v where %v had been accepted", read[sequence], e)
		}
	}
}

// compare looks for what was accepted, or read, and is not in the book.
func (h *history) compare(book map[string]entry) {
	for _, e := range h.known {
		if book[e.id] != e {
			h.blame("an order is lost: the book has %v where %v was accepted", book[e.id], e)
		}
	}
}

func (h *history) blame(format string, args ...any) {
	h.wrong = append(h.wrong, fmt.Sprintf(format, args...))
}
