package epochs

import (
	"context"

	"github.com/nats-io/nats.go/jetstream"
)

// Consumers are those of one group, or of one instance that gets all events, and what the
// stream has for them.
type Consumers interface {
	// Find returns the consumer of a partition; nil if there is none.
	Find(ctx context.Context, epoch, partition int) (*Consumer, error)
	// Last returns the sequence of the last message of a partition that the stream keeps; 0 if
	// there is none. The answer must be that of the stream's leader: any other replica may
	// lack messages.
	Last(ctx context.Context, epoch, partition int) (uint64, error)
	// Begins reports whether a group that begins now has something to handle in an epoch that
	// is over.
	Begins(ctx context.Context, epoch int) (bool, error)
}

// Consumer is the consumer of a partition.
type Consumer struct {
	Config jetstream.ConsumerConfig
	Floor  uint64 // all messages up to this sequence were acknowledged, or came before the start
}

// Walk is how a group goes from epoch to epoch. Any instance of the group can do each step at
// any time, also at the same time as another one, or again after a crash, because of this: the
// consumers of an epoch are made only when all that is stored in the epoch before was
// acknowledged. So
//
//   - a group is in the last epoch of which it has a consumer, and has done with all before,
//   - a group that has no consumer at all is new.
//
// The consumers of former epochs are removed only when all of the epoch have been made, as
// until then they say where the group began.
type Walk struct {
	Consumers Consumers

	over map[int]bool // partitions of the epoch that was asked for last with which the group has done
	of   int          // that epoch
}

// Locate returns the epoch in which the group is.
func (w *Walk) Locate(ctx context.Context, h History) (int, error) {
	if h.Last() <= 0 {
		return 0, nil
	}
	for epoch := h.Last(); epoch >= 0; epoch-- {
		if found, err := w.find(ctx, h, epoch); found != nil || err != nil {
			return epoch, err
		}
	}
	for epoch := range h.Last() {
		if begins, err := w.Consumers.Begins(ctx, epoch); begins || err != nil {
			return epoch, err
		}
	}
	return h.Last(), nil
}

// find returns any consumer of an epoch; nil if there is none.
func (w *Walk) find(ctx context.Context, h History, epoch int) (*Consumer, error) {
	for p := range h.Numbers[epoch] {
		if found, err := w.Consumers.Find(ctx, epoch, p); found != nil || err != nil {
			return found, err
		}
	}
	return nil, nil //nolint:nilnil // as the comment says
}

// Before returns any consumer of the epochs before one; nil if there is none. It says where the
// consumers of the epoch begin.
func (w *Walk) Before(ctx context.Context, h History, epoch int) (*Consumer, error) {
	for epoch--; epoch >= 0; epoch-- {
		if found, err := w.find(ctx, h, epoch); found != nil || err != nil {
			return found, err
		}
	}
	return nil, nil //nolint:nilnil // as the comment says
}

// Beyond reports whether the group has gone on beyond an epoch.
func (w *Walk) Beyond(ctx context.Context, h History, epoch int) (bool, error) {
	for later := h.Last(); later > epoch; later-- {
		if found, err := w.find(ctx, h, later); found != nil || err != nil {
			return found != nil, err
		}
	}
	return false, nil
}

// Complete reports whether all consumers of an epoch were made.
func (w *Walk) Complete(ctx context.Context, h History, epoch int) (bool, error) {
	for p := range h.Numbers[epoch] {
		if found, err := w.Consumers.Find(ctx, epoch, p); found == nil || err != nil {
			return false, err
		}
	}
	return true, nil
}

// Advance returns the epoch in which a group is that was seen in epoch at: a later one as soon
// as the group has done with all that is stored in this one.
func (w *Walk) Advance(ctx context.Context, h History, at int) (int, error) {
	if at >= h.Last() {
		return at, nil
	}
	done, missing, err := w.done(ctx, h, at)
	switch {
	case err != nil:
		return at, err
	case done:
		return at + 1, nil
	case missing: // perhaps because the group does not need it any more
		if beyond, err := w.Beyond(ctx, h, at); !beyond || err != nil {
			return at, err
		}
		return w.Locate(ctx, h)
	}
	return at, nil
}

// done reports whether the group has done with an epoch that is over. Nothing more is stored
// there, so that it stays true, also of each partition. Missing says that a consumer does not
// exist.
func (w *Walk) done(ctx context.Context, h History, epoch int) (done, missing bool, err error) {
	if w.over == nil || w.of != epoch {
		w.over, w.of = make(map[int]bool), epoch
	}
	for p := range h.Numbers[epoch] {
		if w.over[p] {
			continue
		}
		last, err := w.Consumers.Last(ctx, epoch, p)
		if err != nil {
			return false, false, err
		}
		if last > 0 {
			c, err := w.Consumers.Find(ctx, epoch, p)
			if c == nil || err != nil || c.Floor < last {
				return false, c == nil, err
			}
		}
		w.over[p] = true
	}
	return true, false, nil
}

// From returns where a consumer begins whose group comes from an epoch before: nothing of
// the new epoch was stored when the group began there, unless it began at a sequence or a
// time.
func (c *Consumer) From(want jetstream.ConsumerConfig) jetstream.ConsumerConfig {
	want.DeliverPolicy, want.OptStartSeq, want.OptStartTime = c.Config.DeliverPolicy, c.Config.OptStartSeq, c.Config.OptStartTime
	if want.DeliverPolicy == jetstream.DeliverNewPolicy {
		want.DeliverPolicy = jetstream.DeliverAllPolicy
	}
	return want
}
