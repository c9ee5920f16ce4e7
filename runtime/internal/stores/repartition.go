package stores

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/aegisrpc/aegis/internal/natsversion"
	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/epochs"
	"github.com/aegisrpc/aegis/runtime/internal/jserror"
	"github.com/aegisrpc/aegis/runtime/internal/status"
)

// How the number of partitions of an event is changed. NATS has no compare-and-set for the
// configurations of streams: any process that has read one before can write it after the
// change. What NATS does see to is that no two streams take the same subject, that the first
// maker of a stream decides its metadata, and that a sealed stream takes nothing and stays
// sealed. The change is built on that, in five steps:
//
//  1. The stream of the events drops the subjects of the epoch, and notes the next number
//     ("16 32?"). NATS takes nothing of the event now.
//  2. A stream of its own is made for the former epoch, and notes the next number too. From now
//     on that number cannot become another.
//  3. That stream takes the subjects of the epoch, and is sealed. From now on NATS refuses
//     every configuration with which the first stream would take them, so that no process can
//     undo the first step. If one has done so before, NATS refuses this step.
//  4. A message is stored in the stream of the events, on the subject of the end of the epoch.
//     NATS takes messages before it stores them, and stores them in the order in which it has
//     taken them: all of the epoch are stored when this one is. Without it a group could find
//     that it has handled the last one, although one more was on its way into the stream.
//  5. The stream of the events takes the subjects of the next epoch ("16 32").
//
// So every message of an epoch is stored before the first one of the next. Whoever finds the
// change under way goes on with it: each step can be done again, and at the same time by
// several. A process that writes an old configuration after the last step can only bring back
// the state after the first one, and whoever finds that goes on with it as well.

// Changes are tried again as often as others change the stream at the same time.
const (
	changeTries = 50
	changePause = 20 * time.Millisecond
)

// Repartition gives an event of a service n partitions, and returns its history. Known are
// durable events of the service beside those that the stream shows. The error wraps ErrOld if
// the NATS server keeps no metadata, and ErrDifferent if the event has no partitions.
func (s *Stores) Repartition(ctx context.Context, l *EventLog, event string, n int) (epochs.History, error) {
	stream := wire.EventStream(l.Namespace, l.Service)
	found, ok := natsversion.Parse(s.nc.ConnectedServerVersion())
	if ok && found.Before(streamMetadata) {
		return epochs.History{}, fmt.Errorf("the number of partitions of %s.%s cannot be changed: %w: "+
			"streams have metadata from nats-server %s on, and this one is %s", l.Service, event, ErrOld, streamMetadata, found)
	}
	for range changeTries {
		have, err := s.info(ctx, stream)
		if err != nil {
			return epochs.History{}, s.explain("the stream "+stream, err)
		}
		h, ok := epochs.Of(have.CachedInfo().Config.Metadata, event)
		switch {
		case !ok || len(h.Numbers) == 0:
			return h, fmt.Errorf("the stream %s %w: it says no number of partitions of %s, which is no event with a key (key_field), or was not used yet",
				stream, ErrDifferent, event)
		case h.Next != 0:
			err = s.finish(ctx, l, event)
		case h.Now() == n:
			_ = s.nc.Publish(l.Subjects.Repartitioned(l.Service, event), nil) // whoever misses it looks a little later
			return h, nil
		default:
			err = s.closeEpoch(ctx, l, have, event, h.Closing(n))
		}
		if err != nil {
			return h, s.explain("the number of partitions of "+l.Service+"."+event+" cannot be changed", err)
		}
	}
	return epochs.History{}, fmt.Errorf("the number of partitions of %s.%s: %w: others change the stream %s all the time",
		l.Service, event, ErrUnavailable, stream)
}

// Numbers returns the history of each event of a service that has partitions, by its name.
func (s *Stores) Numbers(ctx context.Context, l *EventLog) (map[string]epochs.History, error) {
	stream, err := s.Find(ctx, wire.EventStream(l.Namespace, l.Service))
	if err != nil {
		return nil, err
	}
	metadata, all := stream.CachedInfo().Config.Metadata, make(map[string]epochs.History)
	for key := range metadata {
		if event, ok := strings.CutPrefix(key, wire.PartitionsKey("")); ok {
			if h, ok := epochs.Of(metadata, event); ok {
				all[event] = h
			}
		}
	}
	return all, nil
}

// closeEpoch is the first step.
func (s *Stores) closeEpoch(ctx context.Context, l *EventLog, stream jetstream.Stream, event string, h epochs.History) error {
	known, err := s.eventsOf(ctx, l, stream)
	if err != nil {
		return err
	}
	stream, err = s.info(ctx, wire.EventStream(l.Namespace, l.Service)) // once more, so that the change of another process stays
	if err != nil {
		return err
	}
	cfg := stream.CachedInfo().Config
	if now, _ := epochs.Of(cfg.Metadata, event); now.String()+" "+strconv.Itoa(h.Next)+"?" != h.String() {
		return nil // another process was faster
	}
	cfg.Subjects = l.narrowed(cfg.Subjects, cfg.Metadata, known, event, h.Last())
	cfg.Metadata = maps.Clone(cfg.Metadata)
	h.Put(cfg.Metadata, event)
	_, err = s.update(ctx, cfg)
	return unlessOvertaken(err)
}

// eventsOf returns the durable events of a service: those that the stream has messages or
// numbers of, those that somebody subscribes to, and those that are known beside them.
func (s *Stores) eventsOf(ctx context.Context, l *EventLog, stream jetstream.Stream) ([]string, error) {
	events := slices.Clone(l.Events)
	prefix := strings.TrimSuffix(l.Subjects.LogAll(l.Service, ""), ">")
	add := func(subject string) {
		if rest, ok := strings.CutPrefix(subject, prefix); ok && rest != ">" {
			name, _, _ := strings.Cut(rest, ".")
			events = append(events, name)
		}
	}
	name := stream.CachedInfo().Config.Name
	asking, why := s.Allowed(ctx, "STREAM.INFO."+name)
	info, err := stream.Info(asking, jetstream.WithSubjectFilter(prefix+">"))
	if err = why(err); err != nil {
		return nil, err
	}
	for subject := range info.State.Subjects {
		add(subject)
	}
	for _, subject := range info.Config.Subjects {
		add(subject)
	}
	for key := range info.Config.Metadata {
		if event, ok := strings.CutPrefix(key, wire.PartitionsKey("")); ok {
			events = append(events, event)
		}
	}
	err = s.Consumers(ctx, name, func(c *jetstream.ConsumerInfo) bool {
		for _, filter := range filters(c.Config) {
			add(filter)
		}
		return true
	})
	slices.Sort(events)
	return slices.Compact(events), err
}

// finish does what is left of a change that is under way. It returns no error if another
// process has changed the stream meanwhile; then nothing may have been done.
func (s *Stores) finish(ctx context.Context, l *EventLog, event string) error {
	name := wire.EventStream(l.Namespace, l.Service)
	stream, err := s.info(ctx, name)
	if err != nil {
		return err
	}
	h, ok := epochs.Of(stream.CachedInfo().Config.Metadata, event)
	if !ok || h.Next == 0 {
		return nil
	}
	then, err := s.retire(ctx, l, event, h, stream.CachedInfo().Config.Replicas)
	if err != nil {
		return unlessOvertaken(err)
	}
	stream, err = s.info(ctx, name)
	if err != nil {
		return err
	}
	cfg := stream.CachedInfo().Config
	if now, _ := epochs.Of(cfg.Metadata, event); now.String() != h.String() {
		return nil
	}
	end := l.Subjects.LogEnd(l.Service, event, h.Last())
	if !slices.Contains(cfg.Subjects, end) { // an old configuration was written
		cfg.Subjects = append(slices.Clone(cfg.Subjects), end)
		_, err = s.update(ctx, cfg)
		return unlessOvertaken(err)
	}
	if ended, err := s.storeEnd(ctx, end); !ended || err != nil {
		return err
	}
	cfg.Metadata = maps.Clone(cfg.Metadata)
	then.Put(cfg.Metadata, event)
	cfg.Subjects = l.widened(cfg.Subjects, event, then.Last())
	_, err = s.update(ctx, cfg)
	return unlessOvertaken(err)
}

// storeEnd is the fourth step. It returns false if another process has done the fifth one, or
// has written an old configuration: no stream takes the message then.
func (s *Stores) storeEnd(ctx context.Context, subject string) (bool, error) {
	slot := s.bus.Acquire()
	defer s.bus.Release(slot)
	slot.Payload = slot.Payload[:0]
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(DefaultTimeout)
	}
	_, why := (&Stream{Stores: s}).Store(ctx, slot, &Storing{Subject: &subject, Deadline: deadline})
	switch {
	case why == nil:
		return true, nil
	case why.Reason == status.ReasonNoResponders:
		bus.Wait(ctx, changePause)
		return false, nil
	case why.Code == status.PermissionDenied:
		return false, fmt.Errorf("%w: %s", ErrPermission, why.Message)
	}
	return false, fmt.Errorf("the end of the former partitions cannot be stored: %w: %s", ErrUnavailable, why.Message)
}

// retire is the second and the third step. It returns the history that follows, with all
// epochs that are over: the configuration that says that the change is under way may be an
// old one.
func (s *Stores) retire(ctx context.Context, l *EventLog, event string, h epochs.History, replicas int) (epochs.History, error) {
	next, err := s.retireEpoch(ctx, l, event, h.Last(), h.Next, replicas)
	if err != nil {
		return h, err
	}
	h = h.Then(next)
	for {
		n, over, err := s.retired(ctx, l, event, h.Last())
		if !over || err != nil {
			return h, err
		}
		h = h.Then(n)
	}
}

func (s *Stores) retireEpoch(ctx context.Context, l *EventLog, event string, epoch, next, replicas int) (int, error) {
	cfg := jetstream.StreamConfig{
		Name:        wire.RetiredStream(l.Namespace, l.Service, event, epoch),
		Description: "Aegis: keeps the former subjects of " + l.Service + "." + event + " from being used again; see docs/howto/partitions.md",
		Subjects:    []string{l.Subjects.LogRetired(l.Service, event, epoch)},
		Retention:   jetstream.LimitsPolicy,
		Discard:     jetstream.DiscardNew,
		Storage:     jetstream.FileStorage,
		MaxBytes:    1, // smaller than any message
		Replicas:    replicas,
		Metadata:    map[string]string{wire.PartitionsKey(event): strconv.Itoa(next)},
	}
	stream, err := s.createStream(ctx, cfg)
	if jserror.Code(err) == jetstream.JSErrCodeStreamNameInUse {
		stream, err = s.info(ctx, cfg.Name)
	}
	if err != nil {
		return 0, err
	}
	cfg = stream.CachedInfo().Config
	if !cfg.Sealed {
		cfg.Sealed, cfg.DenyDelete, cfg.DenyPurge = true, true, true
		cfg.Subjects = []string{l.of(event, epoch)}
		if stream, err = s.update(ctx, cfg); err != nil {
			return 0, err
		}
	}
	return nextOf(stream, event)
}

// retired reports whether an epoch is over, and the number of partitions of the next.
func (s *Stores) retired(ctx context.Context, l *EventLog, event string, epoch int) (next int, over bool, err error) {
	stream, err := s.info(ctx, wire.RetiredStream(l.Namespace, l.Service, event, epoch))
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return 0, false, nil
	}
	if err != nil || !stream.CachedInfo().Config.Sealed {
		return 0, false, err
	}
	next, err = nextOf(stream, event)
	return next, err == nil, err
}

// nextOf returns the number of partitions after the epoch whose subjects a sealed stream has.
func nextOf(stream jetstream.Stream, event string) (int, error) {
	cfg := stream.CachedInfo().Config
	n, err := strconv.Atoi(cfg.Metadata[wire.PartitionsKey(event)])
	if err != nil || n < 1 || n > wire.MostPartitions {
		return 0, fmt.Errorf("the stream %s %w: its metadata %s is no number of partitions", cfg.Name, ErrDifferent, wire.PartitionsKey(event))
	}
	return n, nil
}

// unlessOvertaken returns no error if NATS has refused a configuration because a stream has its
// subjects: what was read is no longer so. It pauses, as another process is at work.
func unlessOvertaken(err error) error {
	if jserror.Code(err) == jserror.SubjectsOverlap {
		bus.Wait(context.Background(), changePause)
		return nil
	}
	return err
}

// finishAll goes on with all changes that are under way in the stream, and returns the stream
// as it is then. What cannot be finished here stays, and policy's Warn hears why.
func (s *Stores) finishAll(ctx context.Context, stream jetstream.Stream, l *EventLog, p Policy) jetstream.Stream {
	for range changeTries {
		closing := l.closing(stream.CachedInfo().Config.Metadata)
		if len(closing) == 0 {
			return stream
		}
		var err error
		for _, event := range closing {
			err = errors.Join(err, s.finish(ctx, l, event))
		}
		next, failure := s.info(ctx, stream.CachedInfo().Config.Name)
		if err = errors.Join(err, failure); err != nil {
			p.Warn(fmt.Sprintf("the number of partitions of %s.%s is being changed, and this user cannot go on with that: %v; until it is done, no such event is stored",
				l.Service, strings.Join(closing, ", "), err))
			return stream
		}
		stream = next
	}
	return stream
}

// makeChanged makes the stream of the events whose former epochs have streams of their own,
// after it was deleted: NATS has refused to make it with the subjects of all epochs.
func (s *Stores) makeChanged(ctx context.Context, want *Want, refused error) (jetstream.Stream, error) {
	changed := false
	want.Metadata = maps.Clone(want.Metadata)
	for _, event := range want.Log.Events {
		h, _ := epochs.Of(want.Metadata, event)
		for {
			n, over, err := s.retired(ctx, want.Log, event, max(h.Last(), 0))
			if err != nil {
				return nil, err
			}
			if !over {
				break
			}
			h, changed = h.Then(n), true
		}
		if h.Last() > 0 {
			h.Put(want.Metadata, event)
		}
	}
	if !changed {
		return nil, refused
	}
	want.Subjects = want.Log.needed(want.Metadata)
	return s.createStream(ctx, want.StreamConfig)
}
