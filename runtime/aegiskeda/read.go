package aegiskeda

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/jserror"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

// read finds the figures of a subject.
func (s *Scaler) read(ctx context.Context, of subject) (figures, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	switch {
	case !s.in.Bus.LinkUp():
		return figures{}, stores.ErrDisconnected
	case of.method == "":
		return s.readRefused(ctx, of.service)
	case of.group != "":
		return s.readEvents(ctx, of)
	}
	return s.readCommands(ctx, of)
}

// readCommands counts the commands of a method. A service that was never started, and to which
// nobody has sent a command, has none.
func (s *Scaler) readCommands(ctx context.Context, of subject) (figures, error) {
	stream := wire.CommandStream(s.in.Layout.Namespace, of.service)
	var sum figures
	for _, level := range wire.Levels() {
		w := work{stream, wire.WorkerConsumer(of.method, level), s.in.Layout.Subjects.CommandsOf(of.service, of.method, level)}
		b, err := s.readBacklog(ctx, &w)
		if jserror.Code(err) == jetstream.JSErrCodeConsumerNotFound {
			b, err = s.readUntaken(ctx, &w)
		}
		if err != nil {
			return figures{}, s.streams.judge(stream, err, time.Now())
		}
		sum.add(b)
	}
	s.streams.found(stream)
	return sum, nil
}

// readEvents counts the events of a method that are not delivered to a group.
func (s *Scaler) readEvents(ctx context.Context, of subject) (figures, error) {
	stream := wire.EventStream(s.in.Layout.Namespace, of.service)
	all, err := s.consumersOf(ctx, stream, of)
	if err != nil {
		return figures{}, s.streams.judge(stream, err, time.Now())
	}
	var sum figures
	known := false
	for i := range all {
		b, err := s.readBacklog(ctx, &all[i])
		switch {
		case jserror.Code(err) == jetstream.JSErrCodeConsumerNotFound:
			if b, err = s.readUnknown(ctx, &all[i]); err != nil {
				return figures{}, err
			}
		case err != nil:
			return figures{}, s.streams.judge(stream, err, time.Now())
		default:
			known = true
		}
		sum.add(b)
	}
	if !known {
		sum.waiting = min(sum.waiting, 1) // whatever its partitions are: one instance makes the group
	}
	s.streams.found(stream)
	return sum, nil
}

// consumersOf returns the consumers of a group: one, or one for each partition of events with a
// key.
func (s *Scaler) consumersOf(ctx context.Context, stream string, of subject) ([]work, error) {
	var info *jetstream.StreamInfo
	err := persist(ctx, func(ctx context.Context) error {
		found, err := s.in.Stores.Find(ctx, stream)
		if err == nil {
			info = found.CachedInfo()
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	subjects, consumer := s.in.Layout.Subjects, wire.GroupConsumer(of.group, of.method)
	numbers, _, _ := wire.Epochs(info.Config.Metadata, of.method)
	if len(numbers) == 0 {
		return []work{{stream, consumer, subjects.LogAll(of.service, of.method)}}, nil
	}
	epoch, err := s.epochOf(ctx, stream, consumer, numbers)
	if err != nil {
		return nil, err
	}
	var all []work
	for ; epoch < len(numbers); epoch++ { // the group takes these, one after the other
		for p := range numbers[epoch] {
			all = append(all, work{stream, wire.EpochConsumer(consumer, epoch, p), subjects.LogIn(of.service, of.method, epoch, p)})
		}
	}
	return all, nil
}

// epochOf returns the epoch of the partitions of an event in which a group is: the last one of
// which it has a consumer, and the one in force if it has none.
func (s *Scaler) epochOf(ctx context.Context, stream, consumer string, numbers []int) (int, error) {
	for epoch := len(numbers) - 1; epoch > 0; epoch-- {
		for p := range numbers[epoch] {
			_, err := s.info(ctx, &work{stream: stream, consumer: wire.EpochConsumer(consumer, epoch, p)})
			if err == nil {
				return epoch, nil
			}
			if jserror.Code(err) != jetstream.JSErrCodeConsumerNotFound {
				return 0, err
			}
		}
	}
	if len(numbers) > 1 {
		_, err := s.info(ctx, &work{stream: stream, consumer: wire.EpochConsumer(consumer, 0, 0)})
		if jserror.Code(err) == jetstream.JSErrCodeConsumerNotFound {
			return len(numbers) - 1, nil
		}
	}
	return 0, nil
}

// work is what a consumer takes from a stream.
type work struct {
	stream, consumer, filter string
}

func (f *figures) add(b figures) {
	f.waiting += b.waiting
	f.underWay += b.underWay
	f.age = max(f.age, b.age)
}

// askedAgain is for how long a question to JetStream may wait for an answer: the leader that it
// has gone to may be lost.
const askedAgain = time.Second

// persist asks until JetStream has said something that stays true, or ctx ends: while a stream,
// a consumer or JetStream has no leader, nobody answers, or somebody else says so.
func persist(ctx context.Context, ask func(ctx context.Context) error) error {
	for attempt := 1; ; attempt++ {
		once, cancel := context.WithTimeout(ctx, askedAgain)
		err := ask(once)
		cancel()
		if err == nil || settled(err) || !pause(ctx, bus.Pause(attempt)) {
			return err
		}
	}
}

// settled tells whether an answer would be the same if one asked again.
func settled(err error) bool {
	code := jserror.Code(err)
	return code == jetstream.JSErrCodeStreamNotFound || code == jetstream.JSErrCodeConsumerNotFound || errors.Is(err, stores.ErrPermission)
}

// pause waits, and returns false if ctx has not that much time left.
func pause(ctx context.Context, d time.Duration) bool {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= d {
		return false
	}
	return bus.Wait(ctx, d)
}

// caughtUp is how often a consumer is looked at that may be behind.
const caughtUp = 50 * time.Millisecond

// readBacklog returns what a consumer has not done. The leader of the consumer counts, and its
// copy of the stream may be behind, or not there yet after a restart: it then counts too little,
// with no sign of that. So the stream's own leader is asked for a message beyond the last one
// that was delivered. Where the count says there is none, and there is one, the count is believed
// when it knows that message.
func (s *Scaler) readBacklog(ctx context.Context, w *work) (figures, error) {
	for ahead := uint64(0); ; {
		info, err := s.info(ctx, w)
		if err != nil {
			return figures{}, err
		}
		b := figures{waiting: float64(info.NumPending), underWay: float64(info.NumAckPending)}
		if info.Paused {
			b.waiting = 0
			return b, nil
		}
		if ahead > 0 && info.NumPending == 0 && info.Delivered.Stream >= ahead {
			return b, nil
		}
		first, why := s.in.Stores.From(ctx, w.stream, info.Config.FilterSubject, info.Delivered.Stream+1)
		switch {
		case why != nil:
			return figures{}, s.in.Error(why)
		case first == nil:
			return b, nil
		case info.NumPending > 0:
			b.age = max(info.TimeStamp.Sub(first.Time), 0)
			return b, nil
		case ahead == 0:
			ahead = first.Sequence
		}
		if !pause(ctx, caughtUp) {
			return figures{}, behind(w, info, ahead)
		}
	}
}

// behind is the error of a consumer whose leader has not caught up.
func behind(w *work, info *jetstream.ConsumerInfo, ahead uint64) error {
	leader := "its NATS server"
	if info.Cluster != nil && info.Cluster.Leader != "" {
		leader = info.Cluster.Leader
	}
	return fmt.Errorf("%w: the consumer %s of the stream %s, led by %s, does not know message %d yet, which the stream has: "+
		"it has not caught up", stores.ErrUnavailable, w.consumer, w.stream, leader, ahead)
}

// info returns what the leader of a consumer knows of it.
func (s *Scaler) info(ctx context.Context, w *work) (info *jetstream.ConsumerInfo, err error) {
	err = persist(ctx, func(ctx context.Context) error {
		info, err = s.in.Stores.ConsumerInfo(ctx, w.stream, w.consumer)
		return err
	})
	return info, err
}

// readUntaken counts the commands that no worker was ever there for: all of them wait.
func (s *Scaler) readUntaken(ctx context.Context, w *work) (figures, error) {
	var n int
	err := persist(ctx, func(ctx context.Context) (err error) {
		n, err = s.in.Stores.Subjects(ctx, w.stream, w.filter)
		return err
	})
	if err != nil || n == 0 {
		return figures{}, err
	}
	first, why := s.in.Stores.From(ctx, w.stream, w.filter, 1)
	if why != nil {
		return figures{}, s.in.Error(why)
	}
	b := figures{waiting: float64(n)}
	if first != nil {
		b.age = max(time.Since(first.Time), 0)
	}
	return b, nil
}

// readUnknown returns one event, if there is any, for a group that was never there. An instance
// has to start to make it.
func (s *Scaler) readUnknown(ctx context.Context, w *work) (figures, error) {
	first, why := s.in.Stores.From(ctx, w.stream, w.filter, 1)
	switch {
	case why != nil:
		return figures{}, s.in.Error(why)
	case first == nil:
		return figures{}, nil
	}
	return figures{waiting: 1}, nil
}
