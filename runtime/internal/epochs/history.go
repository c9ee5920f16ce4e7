// Package epochs changes the number of partitions of a durable event with a key, without a
// change of the order of any key.
//
// An epoch is the time in which an event has one number of partitions. Each epoch has
// subjects of its own, so that every message says by its subject in which epoch it was
// stored. All messages of an epoch are stored before the first one of the next (package
// stores sees to that), and a group begins the partitions of an epoch when it has handled
// all that is stored in those before (see Walk). As a key is in one partition of each epoch,
// and a partition is handled in order, the order of the key holds.
package epochs

import (
	"slices"
	"strconv"
	"strings"

	"github.com/aegisrpc/aegis/internal/wire"
)

// History is which numbers of partitions an event has had.
type History struct {
	// Numbers has the number of partitions of each epoch. The last one is in force.
	Numbers []int
	// Next is the number of partitions of the epoch that follows, while the change to it is
	// under way; else 0. Nothing can be stored then.
	Next int
}

// Of reads the history of an event in the metadata of its stream. An event without any, as in
// streams of NATS before 2.10, has no numbers. It returns false if the metadata cannot be read.
func Of(metadata map[string]string, event string) (h History, ok bool) {
	h.Numbers, h.Next, ok = wire.Epochs(metadata, event)
	return h, ok
}

// Put writes the history of an event into the metadata of its stream.
func (h History) Put(metadata map[string]string, event string) {
	metadata[wire.PartitionsKey(event)] = strconv.Itoa(h.Now())
	metadata[wire.EpochsKey(event)] = h.String()
}

// String returns the history as the metadata of a stream have it, such as "16 32", and "16 32?"
// while the change is under way.
func (h History) String() string {
	words := make([]string, 0, len(h.Numbers)+1)
	for _, n := range h.Numbers {
		words = append(words, strconv.Itoa(n))
	}
	if h.Next != 0 {
		words = append(words, strconv.Itoa(h.Next)+"?")
	}
	return strings.Join(words, " ")
}

// Last returns the epoch that is in force.
func (h History) Last() int { return len(h.Numbers) - 1 }

// Now returns the number of partitions that is in force; 0 without any.
func (h History) Now() int {
	if len(h.Numbers) == 0 {
		return 0
	}
	return h.Numbers[h.Last()]
}

// Closing returns the history while the epoch in force ends, and one with n partitions follows.
func (h History) Closing(n int) History {
	return History{Numbers: slices.Clone(h.Numbers), Next: n}
}

// Then returns the history after an epoch with n partitions has begun.
func (h History) Then(n int) History {
	return History{Numbers: append(slices.Clone(h.Numbers), n)}
}
