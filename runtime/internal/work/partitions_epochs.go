package work

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/aegisrpc/aegis/runtime/internal/epochs"
	"github.com/aegisrpc/aegis/runtime/internal/jserror"
	"github.com/aegisrpc/aegis/runtime/internal/pull"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

const (
	// newsInterval is how often an instance that has heard nothing looks whether the number of
	// partitions was changed.
	newsInterval = 15 * time.Second
	// soonest is how soon an instance looks again whether the group has done with an epoch that
	// is over. The pauses double up to latest.
	soonest = 50 * time.Millisecond
	latest  = 2 * time.Second
	// removeAfter is for how long the consumers of former epochs stay: until then all
	// instances of the group have gone on, and none finds that its consumer was removed.
	removeAfter = 4 * newsInterval
)

// errGoneOn is the error of a consumer of an epoch with which the group has done.
var errGoneOn = errors.New("the number of partitions was changed, and the group has gone on to the new ones")

// groupConsumers are the consumers of Partitions as epochs.Walk sees them. One goroutine at a
// time uses it.
type groupConsumers struct {
	*Partitions

	lasts map[[2]int]lastOf // by epoch and partition
}

// lastOf is the last message of a partition whose epoch is over. The message can go, and no
// other one comes.
type lastOf struct {
	sequence uint64
	read     time.Time
}

func (g *groupConsumers) Find(ctx context.Context, epoch, p int) (*epochs.Consumer, error) {
	info, err := g.Stores.ConsumerInfo(ctx, g.Stream.Want.Name, g.consumerName(epoch, p))
	if jserror.Code(err) == jetstream.JSErrCodeConsumerNotFound {
		return nil, nil //nolint:nilnil // as Consumers says
	}
	if err != nil {
		return nil, err
	}
	return &epochs.Consumer{Config: info.Config, Floor: info.AckFloor.Stream}, nil
}

func (g *groupConsumers) Last(ctx context.Context, epoch, p int) (uint64, error) {
	key := [2]int{epoch, p}
	if last, known := g.lasts[key]; known && time.Since(last.read) < floorInterval {
		return last.sequence, nil
	}
	msg, why := g.Stores.Last(ctx, g.Stream.Want.Name, g.Filter(epoch, p))
	if why != nil {
		return 0, errors.New(why.Message)
	}
	last := lastOf{read: time.Now()}
	if msg != nil {
		last.sequence = msg.Sequence
	}
	g.lasts[key] = last
	return last.sequence, nil
}

func (g *groupConsumers) Begins(ctx context.Context, epoch int) (bool, error) {
	if g.Template.DeliverPolicy == jetstream.DeliverNewPolicy {
		return false, nil
	}
	from := max(g.Template.OptStartSeq, 1)
	log := g.Stream.Want.Log
	msg, why := g.Stores.From(ctx, g.Stream.Want.Name, log.Subjects.LogOf(log.Service, g.Event, epoch), from)
	if why != nil {
		return false, errors.New(why.Message)
	}
	return msg != nil, nil
}

func (s *Partitions) walk() *epochs.Walk {
	return &epochs.Walk{Consumers: &groupConsumers{s, make(map[[2]int]lastOf)}}
}

// history returns the epochs of the event; one alone where the stream does not say any.
func (s *Partitions) history(stream jetstream.Stream) epochs.History {
	h, _ := epochs.Of(stream.CachedInfo().Config.Metadata, s.Event) // opening the stream has checked them
	if len(h.Numbers) == 0 {
		h.Numbers = []int{s.Count}
	}
	return h
}

// locate finds out in which epoch the group is.
func (s *Partitions) locate(ctx context.Context) error {
	stream, err := s.Stores.Stream(ctx, s.Stream.Want, s.Stream.Policy)
	if err != nil {
		return err
	}
	h, walk := s.history(stream), s.walk()
	epoch, err := walk.Locate(ctx, h)
	if err != nil {
		return err
	}
	like, err := walk.Before(ctx, h, epoch)
	if err != nil {
		return err
	}
	s.enter(h, epoch, like)
	return nil
}

// enter makes an epoch that of this instance, and returns the partitions of the former one that
// it has taken. It does nothing after Stop, and returns false.
func (s *Partitions) enter(h epochs.History, epoch int, like *epochs.Consumer) (leaving []*pull.Puller, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return nil, false
	}
	for p := range s.count {
		if name := s.consumerName(s.epoch, p); s.Causes.Failed(name) {
			s.Causes.Works(name) // nothing is to be taken from it any more
		}
	}
	s.epoch, s.count, s.like = epoch, h.Numbers[epoch], like
	clear(s.floors)
	for p, taken := range s.taken {
		delete(s.taken, p)
		s.old = append(s.old, taken)
		leaving = append(leaving, taken.puller)
	}
	if s.Counted != nil {
		s.Counted(s.count)
	}
	return leaving, true
}

// over reports whether an epoch is over.
func (s *Partitions) over(stream jetstream.Stream, epoch int) bool {
	return epoch < s.history(stream).Last()
}

// mayMake reports whether a consumer of an epoch that is over may be made. It returns errGoneOn if
// the consumer does not exist because it was removed when the group had gone on: as the consumers
// of the later epoch are made before those of the former one are removed, they are there then.
// A consumer that exists may not be made, as it can be removed at any time.
func (s *Partitions) mayMake(ctx context.Context, stream jetstream.Stream, epoch, p int) (bool, error) {
	walk := s.walk()
	if found, err := walk.Consumers.Find(ctx, epoch, p); found != nil || err != nil {
		return false, err
	}
	beyond, err := walk.Beyond(ctx, s.history(stream), epoch)
	if beyond {
		s.hear(nil)
		return false, errGoneOn
	}
	return s.Stream.Policy.Create, err
}

// followEpochs goes on to the next epoch whenever the group has done with one that is over,
// until life ends. News only make it look sooner: what it finds decides.
func (s *Partitions) followEpochs(life context.Context) {
	if sub, err := s.Bus.NATS.Subscribe(s.NewsSubject, s.hear); err == nil { // else it looks at its own times
		defer func() { _ = sub.Unsubscribe() }() // fails only if it is gone already
	}
	f := follower{Partitions: s, walk: s.walk(), entered: time.Now()}
	for pause := soonest; s.awaitNews(life, pause); {
		moved, settled := f.look(life)
		switch {
		case settled:
			pause = newsInterval
		case moved, pause == newsInterval:
			pause = soonest
		default:
			pause = min(2*pause, latest)
		}
	}
}

// hear has followEpochs look at once.
func (s *Partitions) hear(*nats.Msg) {
	select {
	case s.news <- struct{}{}:
	default:
	}
}

// awaitNews waits for news, at most for a pause, and reports whether life has not ended.
func (s *Partitions) awaitNews(life context.Context, pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-s.news:
	case <-timer.C:
	case <-life.Done():
	}
	return life.Err() == nil
}

// follower is the state of followEpochs.
type follower struct {
	*Partitions

	walk    *epochs.Walk
	entered time.Time // when the instance has gone on
	tidy    bool      // no consumer of a former epoch is left to be removed
}

// look goes on if the group has done with the epoch. Settled says that there is nothing to wait
// for.
func (f *follower) look(life context.Context) (moved, settled bool) {
	stream, err := f.Stores.Stream(life, f.Stream.Want, f.Stream.Policy)
	if err != nil {
		return false, false // the pullers tell of it
	}
	h := f.history(stream)
	next, moved, err := f.next(life, h)
	if moved && err == nil {
		err = f.goOn(life, f.walk, h, next)
		f.entered, f.tidy = time.Now(), false
	}
	if err != nil {
		if life.Err() == nil {
			f.Causes.Fails(f.Consumer, err)
		}
		return false, false
	}
	if f.Causes.Failed(f.Consumer) {
		f.Causes.Works(f.Consumer)
	}
	if next == h.Last() && !f.tidy && time.Since(f.entered) > removeAfter {
		f.tidy = next == 0 || f.removeFormer(life, f.walk, h, next)
	}
	return moved, next == h.Last() && h.Next == 0
}

// next returns the epoch in which the group is now, and whether this instance has to go there.
// If the stream was made anew, the group may be in any epoch, and the epoch may have another
// number of partitions.
func (f *follower) next(ctx context.Context, h epochs.History) (epoch int, moved bool, err error) {
	f.mu.Lock()
	at, count := f.epoch, f.count
	f.mu.Unlock()
	if count == 0 || at > h.Last() || count != h.Numbers[at] {
		epoch, err = f.walk.Locate(ctx, h)
		return epoch, true, err
	}
	epoch, err = f.walk.Advance(ctx, h, at)
	return epoch, epoch != at, err
}

// goOn goes on to an epoch. What it cannot do, the pullers try again.
func (s *Partitions) goOn(ctx context.Context, walk *epochs.Walk, h epochs.History, epoch int) error {
	like, err := walk.Before(ctx, h, epoch)
	if err != nil {
		return err
	}
	s.sharing.Lock()
	defer s.sharing.Unlock()
	leaving, ok := s.enter(h, epoch, like)
	if !ok {
		return nil
	}
	leave, cancel := context.WithTimeout(context.Background(), leaveTime)
	defer cancel()
	StopPulling(leave, leaving)
	for p := range h.Numbers[epoch] { // also those that other instances take, so that none is missing
		if _, err = s.open(ctx, epoch, p); err != nil {
			break
		}
	}
	s.takeShare()
	return err
}

// removeFormer removes the consumers of the epochs with which the group has done, and reports
// whether nothing is left to do.
func (s *Partitions) removeFormer(ctx context.Context, walk *epochs.Walk, h epochs.History, epoch int) bool {
	if !s.Stream.Policy.Create {
		return true
	}
	if all, err := walk.Complete(ctx, h, epoch); !all || err != nil {
		return false
	}
	for former := range epoch {
		for p := range h.Numbers[former] {
			if c, err := walk.Consumers.Find(ctx, former, p); c == nil && err == nil {
				continue
			}
			if err := s.Stores.DeleteConsumer(ctx, s.Stream.Want.Name, s.consumerName(former, p)); err != nil {
				return errors.Is(err, stores.ErrPermission) // they stay, and do no harm
			}
		}
	}
	return true
}
