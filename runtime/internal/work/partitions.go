package work

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/bus"
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

	mu      sync.Mutex // guards the next five
	stopped bool
	created time.Time          // of the stream that was opened last
	taken   map[int]*partition // the partitions that this instance takes; only 0 without a key
	old     []*partition       // partitions that it took before, while messages of theirs are held
	floors  map[int]uint64     // sequences up to which all is acknowledged, by partition

	// The methods that start and stop, which never run at the same time, set these.
	looked   bool               // there may be consumers
	group    *members.Group     // nil unless the instances of a group share partitions
	halt     context.CancelFunc // ends following; nil before Start
	followed sync.WaitGroup     // the goroutine that follows floors
}

// PartitionsConfig is the configuration of Partitions.
type PartitionsConfig struct {
	Bus    *bus.Bus
	Stores *stores.Stores
	Stream *stores.Stream // of the events
	// Name is the full name of the event, for errors.
	Name  string
	Count int // partitions
	Keyed bool
	// Consumer is the name of the consumer; each partition of a keyed event has a
	// consumer with its number behind that.
	Consumer string
	// Template has the description, the ack wait and the start of a new consumer.
	Template jetstream.ConsumerConfig
	// Filter returns the subject of a partition; for an event without a key that of all.
	Filter func(partition int) string
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
	return &Partitions{PartitionsConfig: *c, taken: make(map[int]*partition), floors: make(map[int]uint64)}
}

// Look finds or makes the consumers, and returns an error only if one can never be made.
// A problem that may pass, such as JetStream's being away, is a cause of Causes.
func (s *Partitions) Look(ctx context.Context) error {
	s.looked = true
	for p := range s.Count {
		if _, err := s.open(ctx, p); err != nil {
			if Lasting(err) {
				return err
			}
			s.Causes.Fails(s.consumerName(p), err)
			break
		}
	}
	return nil
}

// Start begins to take messages.
func (s *Partitions) Start() error {
	life, halt := context.WithCancel(context.Background())
	s.halt = halt
	s.followed.Go(func() { s.followFloors(life) })
	if s.MembersSubject == "" {
		for p := range s.Count {
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

func (s *Partitions) consumerName(p int) string {
	if s.Keyed {
		return wire.PartitionConsumer(s.Consumer, p)
	}
	return s.Consumer
}

// open finds or makes the stream and a consumer. A consumer that was deleted begins
// where it was; a consumer that was deleted with its stream begins with all that the
// new stream has.
func (s *Partitions) open(ctx context.Context, p int) (pull.Source, error) {
	stream, err := s.Stores.Stream(ctx, s.Stream.Want, s.Stream.Policy)
	if err != nil {
		return pull.Source{}, err
	}
	s.Found(stream)
	created := stream.CachedInfo().Created
	s.mu.Lock()
	again := !s.created.IsZero()
	if !s.created.Equal(created) {
		clear(s.floors) // another stream counts anew
		s.created = created
	}
	floor, known := s.floors[p]
	s.mu.Unlock()
	want := s.consumerConfig(p)
	switch {
	case known:
		want.DeliverPolicy, want.OptStartSeq, want.OptStartTime = jetstream.DeliverByStartSequencePolicy, floor+1, nil
	case again:
		want.DeliverPolicy, want.OptStartSeq, want.OptStartTime = jetstream.DeliverAllPolicy, 0, nil
	}
	c, err := s.Stores.Consumer(ctx, s.Stream.Want.Name, want, s.Stream.Policy)
	if err != nil {
		return pull.Source{}, err
	}
	s.mu.Lock()
	s.floors[p] = c.Floor
	s.mu.Unlock()
	return Source(s.Stores, c), nil
}

func (s *Partitions) consumerConfig(p int) jetstream.ConsumerConfig {
	c := s.Template
	c.Name, c.FilterSubject = s.consumerName(p), s.Filter(p)
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
	mine := make(map[int]bool)
	for _, p := range members.Share(all, s.Process, s.Count) {
		mine[p] = true
	}
	var leaving []*pull.Puller
	s.mu.Lock()
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
	for p := range s.Count { // also partitions that Look found, and that were never taken
		if name := s.consumerName(p); !mine[p] && s.Causes.Failed(name) {
			s.Causes.Works(name) // another instance has the trouble now
		}
	}
	for p := range mine {
		if err := s.take(p); err != nil {
			s.Causes.Fails(s.consumerName(p), err)
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
	options := Pulling(s.Bus, s.Stores, s.Causes, s.Stream.Want.Name, s.consumerName(p), s.Keyed)
	options.Open = func(ctx context.Context) (pull.Source, error) { return s.open(ctx, p) }
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
	of := s.created
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
		floor, err := s.Stores.Floor(life, s.Stream.Want.Name, s.consumerName(p))
		if err != nil {
			return // at the next tick
		}
		q.answer(floor)
		s.mu.Lock()
		if s.created.Equal(of) { // else the floor may be that of a consumer that went with its stream
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
	for p := range s.Count {
		if err := s.Stores.JetStream().DeleteConsumer(ctx, s.Stream.Want.Name, s.consumerName(p)); err != nil {
			return // NATS deletes it by itself, later
		}
	}
}
