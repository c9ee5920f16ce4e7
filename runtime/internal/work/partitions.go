package work

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/epochs"
	"github.com/aegisrpc/aegis/runtime/internal/members"
	"github.com/aegisrpc/aegis/runtime/internal/parts"
	"github.com/aegisrpc/aegis/runtime/internal/pull"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

const (
	// forgottenAfter is how long NATS keeps the consumer of an instance without a name
	// of its own.
	forgottenAfter = 5 * time.Minute
	// floorInterval is how often a consumer is asked how far it is, so that a consumer
	// that was deleted can be made anew at that place. While the answer is the same, the
	// pauses double up to longestFloor.
	floorInterval = 5 * time.Second
	longestFloor  = time.Minute
	// leaveTime bounds how long the pullers of partitions that others take over are
	// stopped, and how long consumers are deleted.
	leaveTime = time.Second
)

// Partitions takes the messages of one durable event: those of all partitions through
// one consumer, or for an event with a key, those of each partition through a consumer
// of its own that has one message under way at a time. That keeps the order of a
// partition even while instances disagree about the members of their group. Sharing the
// partitions is then only a matter of which instance has room. It is safe for concurrent
// use.
type Partitions struct {
	PartitionsConfig

	mu      sync.Mutex // guards the next nine
	stopped bool
	created time.Time          // of the stream that was opened last
	remade  bool               // that stream is not the one that was opened first
	epoch   int                // the one that this instance is in
	count   int                // partitions in this epoch; 0 before it is known
	like    *epochs.Consumer   // where the consumers of this epoch begin; nil if as Template says
	taken   map[int]*partition // the partitions that this instance takes; only 0 without a key
	old     []*partition       // partitions that it took before, while messages of theirs are held
	floors  map[int]uint64     // sequences up to which all is acknowledged, by partition

	sharing sync.Mutex // held while partitions are taken or left; guards sharers
	sharers []string   // the members of the group; nil before they are known

	news chan struct{} // holds one; told that the number of partitions may have changed

	// The methods that start and stop, which never run at the same time, set these.
	looked   bool               // there may be consumers
	group    *members.Group     // nil unless the instances of a group share partitions
	halt     context.CancelFunc // ends following; nil before Start
	followed sync.WaitGroup     // the goroutines that follow floors and epochs
}

// PartitionsConfig is the configuration of Partitions.
type PartitionsConfig struct {
	Bus    *bus.Bus
	Stores *stores.Stores
	Stream *stores.Stream // of the events
	// Name is the full name of the event, for errors.
	Name  string
	Event string // the name of its method
	Count int    // partitions, where the stream does not say how many there are; 1 without a key
	Keyed bool
	// Consumer is the name of the consumer; each partition of a keyed event has a
	// consumer with its number behind that.
	Consumer string
	// Template has the description, the ack wait and the start of a new consumer.
	Template jetstream.ConsumerConfig
	// Filter returns the subject of a partition in an epoch; for an event without a key that of
	// all.
	Filter func(epoch, partition int) string
	// Counted is called with the number of partitions when it is known, and when it has
	// changed.
	Counted func(partitions int)
	// NewsSubject is where an instance hears that the number of partitions was changed.
	NewsSubject string
	// Kept says that the consumers stay when this instance goes. Else they are
	// forgotten.
	Kept bool
	// MembersSubject is where the instances of a group hear of each other, and Process
	// the name of this one there. If the subject is "", this instance takes all
	// partitions.
	MembersSubject, Process string
	Concurrency             int // handlers at once
	// OnlyOne says that a message has but one attempt.
	OnlyOne bool
	Causes  *parts.Causes
	// Found is called with the stream whenever a consumer was found or made.
	Found func(jetstream.Stream)
	// Deliver takes a message, and must not wait.
	Deliver func(*pull.Message)
}

// partition is one consumer.
type partition struct {
	puller *pull.Puller
	pace   Pace
}

// NewPartitions makes Partitions. Look, Start, Stop and End follow, in this order.
func NewPartitions(c *PartitionsConfig) *Partitions {
	s := &Partitions{PartitionsConfig: *c, news: make(chan struct{}, 1), taken: make(map[int]*partition), floors: make(map[int]uint64)}
	if !s.Keyed {
		s.count = 1
	}
	return s
}

// Look finds or makes the consumers, and returns an error only if one can never be made.
// A problem that may pass, such as JetStream's being away, is a cause of Causes.
func (s *Partitions) Look(ctx context.Context) error {
	s.looked = true
	if s.Keyed {
		if err := s.locate(ctx); err != nil {
			return s.unlessLasting(s.Consumer, err)
		}
	}
	for p := range s.count {
		if _, err := s.open(ctx, s.epoch, p); err != nil {
			return s.unlessLasting(s.consumerName(s.epoch, p), err)
		}
	}
	return nil
}

// unlessLasting makes a problem that may pass a cause.
func (s *Partitions) unlessLasting(cause string, err error) error {
	if Lasting(err) {
		return err
	}
	s.Causes.Fails(cause, err)
	return nil
}

// Start begins to take messages.
func (s *Partitions) Start() error {
	life, halt := context.WithCancel(context.Background())
	s.halt = halt
	s.followed.Go(func() { s.followFloors(life) })
	if s.Keyed {
		defer s.followed.Go(func() { s.followEpochs(life) })
	}
	if s.MembersSubject == "" {
		s.sharers = []string{s.Process}
		for p := range s.count {
			if err := s.take(p); err != nil {
				return err
			}
		}
		return nil
	}
	group, err := members.Join(s.Bus.NATS, s.MembersSubject, s.Process, s.share)
	if err != nil {
		return fmt.Errorf("aegis: subscribe to %s: %w", s.Name, err)
	}
	s.group = group
	return nil
}

func (s *Partitions) consumerName(epoch, p int) string {
	if s.Keyed {
		return wire.EpochConsumer(s.Consumer, epoch, p)
	}
	return s.Consumer
}

// Subject returns the subject of a key in the epoch that this instance is in, by the hash of
// the key.
func (s *Partitions) Subject(hash uint64) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.Filter(s.epoch, wire.Partition(hash, s.count))
}

// open finds or makes the stream and a consumer. A consumer that was deleted begins
// where it was; a consumer that was deleted with its stream begins with all that the
// new stream has.
func (s *Partitions) open(ctx context.Context, epoch, p int) (pull.Source, error) {
	stream, err := s.Stores.Stream(ctx, s.Stream.Want, s.Stream.Policy)
	if err != nil {
		return pull.Source{}, err
	}
	s.Found(stream)
	want := s.consumerConfig(epoch, p)
	if err := s.place(stream, &want, epoch, p); err != nil {
		return pull.Source{}, err
	}
	policy := s.Stream.Policy
	if s.Keyed && s.over(stream, epoch) {
		if policy.Create, err = s.mayMake(ctx, stream, epoch, p); err != nil {
			return pull.Source{}, err
		}
	}
	c, err := s.Stores.Consumer(ctx, s.Stream.Want.Name, want, policy)
	if err != nil {
		return pull.Source{}, err
	}
	s.mu.Lock()
	if s.epoch == epoch {
		s.floors[p] = c.Floor
	}
	s.mu.Unlock()
	return Source(s.Stores, c), nil
}

// place says where a consumer begins if it has to be made.
func (s *Partitions) place(stream jetstream.Stream, want *jetstream.ConsumerConfig, epoch, p int) error {
	created := stream.CachedInfo().Created
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.epoch != epoch {
		return errGoneOn
	}
	if !s.created.Equal(created) {
		clear(s.floors) // another stream counts anew
		s.remade = s.remade || !s.created.IsZero()
		s.created = created
	}
	floor, known := s.floors[p]
	switch {
	case known:
		want.DeliverPolicy, want.OptStartSeq, want.OptStartTime = jetstream.DeliverByStartSequencePolicy, floor+1, nil
	case s.remade:
		want.DeliverPolicy, want.OptStartSeq, want.OptStartTime = jetstream.DeliverAllPolicy, 0, nil
	case s.like != nil:
		*want = s.like.From(*want)
	}
	return nil
}

func (s *Partitions) consumerConfig(epoch, p int) jetstream.ConsumerConfig {
	c := s.Template
	c.Name, c.FilterSubject = s.consumerName(epoch, p), s.Filter(epoch, p)
	c.AckPolicy = jetstream.AckExplicitPolicy
	c.MaxDeliver = -1 // the runtime counts attempts: a message that NATS gives up has no dead letter
	c.MaxAckPending = MaxUnacknowledged
	if s.Keyed {
		c.MaxAckPending = 1
	}
	if s.Kept {
		c.Durable = c.Name
	} else {
		c.InactiveThreshold = forgottenAfter
	}
	return c
}

// share takes the partitions that are this instance's among the members.
func (s *Partitions) share(all []string) {
	s.sharing.Lock()
	defer s.sharing.Unlock()
	s.sharers = all
	s.takeShare()
}

// takeShare takes the partitions that are this instance's, and leaves all others. s.sharing is
// held.
func (s *Partitions) takeShare() {
	mine := make(map[int]bool)
	var leaving []*pull.Puller
	s.mu.Lock()
	epoch, count := s.epoch, s.count
	for _, p := range members.Share(s.sharers, s.Process, count) {
		mine[p] = true
	}
	for p, taken := range s.taken {
		if !mine[p] {
			delete(s.taken, p)
			s.old = append(s.old, taken)
			leaving = append(leaving, taken.puller)
		}
	}
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), leaveTime)
	defer cancel()
	StopPulling(ctx, leaving)
	for p := range count { // also partitions that Look found, and that were never taken
		if name := s.consumerName(epoch, p); !mine[p] && s.Causes.Failed(name) {
			s.Causes.Works(name) // another instance has the trouble now
		}
	}
	for p := range mine {
		if err := s.take(p); err != nil {
			s.Causes.Fails(s.consumerName(epoch, p), err)
		}
	}
	s.sweep()
}

// take begins to take the messages of a partition.
func (s *Partitions) take(p int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped || s.taken[p] != nil {
		return nil
	}
	epoch := s.epoch
	options := Pulling(s.Bus, s.Stores, s.Causes, s.Stream.Want.Name, s.consumerName(epoch, p), s.Keyed)
	options.Open = func(ctx context.Context) (pull.Source, error) { return s.open(ctx, epoch, p) }
	options.Deliver = s.Deliver
	puller, err := pull.Start(options)
	if err != nil {
		return fmt.Errorf("aegis: subscribe to %s: %w", s.Name, err)
	}
	taken := &partition{puller: puller}
	if s.Keyed {
		puller.SetWindow(2) // one under way, and one that NATS knows where to send
	} else {
		puller.SetWindow(s.Concurrency)
		taken.pace = Pace{Puller: puller, Most: s.Concurrency, OnlyOne: s.OnlyOne}
	}
	s.taken[p] = taken
	return nil
}

// Handled counts a message that was handled, so that as many messages are asked for as
// the handlers are quick.
func (s *Partitions) Handled() {
	if s.Keyed {
		return
	}
	s.mu.Lock()
	taken := s.taken[0]
	s.mu.Unlock()
	if taken != nil {
		taken.pace.Done()
	}
}

// sweep closes the pullers of former partitions that hold nothing any more.
func (s *Partitions) sweep() {
	s.mu.Lock()
	var empty, left []*partition
	for _, p := range s.old {
		if p.puller.Held() == 0 {
			empty = append(empty, p)
		} else {
			left = append(left, p)
		}
	}
	s.old = left
	s.mu.Unlock()
	for _, p := range empty {
		p.puller.Close()
	}
}

// followFloors asks how far the consumers are, until life ends.
func (s *Partitions) followFloors(life context.Context) {
	ticker := time.NewTicker(floorInterval)
	defer ticker.Stop()
	questions := make(map[int]*question)
	for {
		select {
		case <-ticker.C:
			s.sweep()
			s.askFloors(life, questions)
		case <-life.Done():
			return
		}
	}
}

// askFloors asks how far the consumers are whose questions are due.
func (s *Partitions) askFloors(life context.Context, questions map[int]*question) {
	due := make(map[int]*question)
	s.mu.Lock()
	of, epoch := s.created, s.epoch
	for p, taken := range s.taken {
		if questions[p] == nil || questions[p].puller != taken.puller {
			questions[p] = &question{puller: taken.puller}
		}
		if q := questions[p]; q.due() {
			due[p] = q
		}
	}
	s.mu.Unlock()
	for p, q := range due {
		q.ask()
		floor, err := s.Stores.Floor(life, s.Stream.Want.Name, s.consumerName(epoch, p))
		if err != nil {
			return // at the next tick
		}
		q.answer(floor)
		s.mu.Lock()
		if s.created.Equal(of) && s.epoch == epoch { // else the floor may be that of a consumer that went with its stream
			s.floors[p] = max(s.floors[p], floor)
		}
		s.mu.Unlock()
	}
}

// pullers returns the pullers of all present and former partitions.
func (s *Partitions) pullers() []*pull.Puller {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*pull.Puller
	for _, p := range s.taken {
		all = append(all, p.puller)
	}
	for _, p := range s.old {
		all = append(all, p.puller)
	}
	return all
}

// Stop takes nothing new; messages that are held stay held until End.
func (s *Partitions) Stop(ctx context.Context) {
	s.mu.Lock()
	s.stopped = true // before the members hear of it: a change of theirs must take nothing
	s.mu.Unlock()
	if s.group != nil {
		s.group.Leave(ctx)
	}
	StopPulling(ctx, s.pullers())
}

// Unfollow ends the goroutine that asks how far the consumers are.
func (s *Partitions) Unfollow() {
	if s.halt != nil {
		s.halt()
		s.followed.Wait()
	}
}

// End lets go of what is held, and deletes the consumers of an instance that will not
// come back. It follows Unfollow.
func (s *Partitions) End() {
	for _, p := range s.pullers() {
		p.Close()
	}
	if !s.Kept && s.looked {
		s.deleteConsumers()
	}
}

func (s *Partitions) deleteConsumers() {
	ctx, cancel := context.WithTimeout(context.Background(), leaveTime)
	defer cancel()
	ctx, why := s.Stores.Allowed(ctx, "CONSUMER.DELETE."+s.Stream.Want.Name)
	defer func() { _ = why(nil) }()
	for p := range s.count {
		if err := s.Stores.JetStream().DeleteConsumer(ctx, s.Stream.Want.Name, s.consumerName(s.epoch, p)); err != nil {
			return // NATS deletes it by itself, later
		}
	}
}
