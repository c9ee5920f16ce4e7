package demo

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	orderv1 "github.com/aegisrpc/aegis/examples/order/gen/order/v1"
)

// orderFailovers is how many leaders the part loses.
const orderFailovers = 2

// orderBalance holds what the client was told against what the book says.
type orderBalance struct {
	load     orderLoad
	report   orderReport
	accepted []acceptedOrder
	// failovers is how long no order was accepted after each loss of a leader.
	failovers []time.Duration
	listed    []*orderv1.Order
	// audiences are told of the orders.
	audiences []*orderAudience
	commands  *orderReconciling
	// streams is how many the watcher needed to see all orders.
	streams int
}

// String is a table for people.
func (b *orderBalance) String() string {
	var t strings.Builder
	row := func(name string, n int, what string) { fmt.Fprintf(&t, "  %-9s %6s  %s\n", name, thousands(n), what) }
	row("placed", b.load.count, fmt.Sprintf("orders, %d at a time", b.load.inFlight))
	row("accepted", len(b.accepted), b.answered())
	row("repeated", int(b.report.Repeated), "calls that the client made again, under the same id")
	row("listed", len(b.listed), "orders in the book at the end")
	row("watched", b.load.count, fmt.Sprintf("orders in their sequence, over %d streams: each ends with its leader", b.streams))
	for _, a := range b.audiences {
		n, by := a.delivered()
		row(a.name, n, fmt.Sprintf("events: %s; %s came again", by, thousands(n-len(a.deliveries))))
	}
	row("commands", len(b.commands.done), fmt.Sprintf("done, %d of them not by their first worker; %d more canceled", b.commands.again(), b.commands.canceled))
	row("lost", len(b.lost())+len(b.untold()), "accepted and not in the book, or not told to one of those")
	row("doubled", len(b.doubled()), "in the book more than once")
	return t.String()
}

// answered says how many orders each instance answered.
func (b *orderBalance) answered() string {
	count := map[string]int{}
	for _, o := range b.accepted {
		count[o.Instance]++
	}
	var all []string
	for _, name := range slices.Sorted(maps.Keys(count)) {
		all = append(all, fmt.Sprintf("%s by %s", thousands(count[name]), name))
	}
	return strings.Join(all, ", ")
}

// sequences is where the book has each id.
func (b *orderBalance) sequences() map[string][]uint64 {
	at := map[string][]uint64{}
	for _, o := range b.listed {
		at[o.GetId()] = append(at[o.GetId()], o.GetSequence())
	}
	return at
}

func (b *orderBalance) lost() (ids []string) {
	at := b.sequences()
	for _, o := range b.accepted {
		if !slices.Contains(at[o.ID], o.Sequence) {
			ids = append(ids, o.ID)
		}
	}
	return ids
}

// untold are the orders that somebody was not told of.
func (b *orderBalance) untold() (ids []string) {
	for _, a := range b.audiences {
		missed, _ := a.missed(b.accepted)
		ids = append(ids, missed...)
	}
	return ids
}

func (b *orderBalance) doubled() (ids []string) {
	for id, sequences := range b.sequences() {
		if len(sequences) > 1 {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// strangers are the orders of the book that the client was not told of.
func (b *orderBalance) strangers() (ids []string) {
	known := map[string]bool{}
	for _, o := range b.accepted {
		known[o.ID] = true
	}
	for _, o := range b.listed {
		if !known[o.GetId()] {
			ids = append(ids, o.GetId())
		}
	}
	return ids
}

// check returns an error that names everything that must not be.
func (b *orderBalance) check() error {
	errs := append(b.checkBook(), b.commands.check(b.listed)...)
	require := func(ids []string, what string) {
		if len(ids) > 0 {
			errs = append(errs, fmt.Errorf("- %d orders %s, such as %s", len(ids), what, ids[0]))
		}
	}
	require(b.lost(), "were accepted and are not in the book, or not where the client was told")
	require(b.doubled(), "are in the book more than once")
	require(b.strangers(), "are in the book and were not accepted")
	for _, a := range b.audiences {
		missed, strangers := a.missed(b.accepted)
		require(missed, "were accepted and not told to "+a.name)
		require(strangers, "were told to "+a.name+" and not accepted")
		require(a.disorder, "were told to "+a.name+" after a later one of their symbol")
	}
	if n := len(b.accepted); n != b.load.count {
		errs = append(errs, fmt.Errorf("- %d orders were to be placed, and %d were accepted", b.load.count, n))
	}
	if n := len(b.failovers); n != orderFailovers {
		errs = append(errs, fmt.Errorf("- %d leaders were lost, and another followed %d times", orderFailovers, n))
	}
	return errors.Join(errs...)
}

// checkBook holds the book against itself: sequences have no gap, no older
// leader wrote after a later one, and each order is what was asked for.
func (b *orderBalance) checkBook() (wrong []error) {
	var term uint64
	for i, o := range b.listed {
		switch {
		case o.GetSequence() != uint64(i)+1:
			return append(wrong, fmt.Errorf("- order %d of the book has the sequence %d", i+1, o.GetSequence()))
		case o.GetTerm() < term:
			return append(wrong, fmt.Errorf("- order %d of the book is of term %d, after one of term %d", i+1, o.GetTerm(), term))
		case o.GetId() != orderRequest(o.GetQuantity()).GetId():
			return append(wrong, fmt.Errorf("- order %d of the book, %s, has the quantity %d", i+1, o.GetId(), o.GetQuantity()))
		}
		term = o.GetTerm()
	}
	return nil
}
