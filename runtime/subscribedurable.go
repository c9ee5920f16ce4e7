package aegis

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/attempts"
	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/members"
	"github.com/aegisrpc/aegis/runtime/internal/pull"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

const (
	// The pauses between attempts to bury an event double from the first to the last.
	firstBuryPause = 100 * time.Millisecond
	lastBuryPause  = 5 * time.Second
	// maxUnacknowledged is how many events of one consumer may be under way, or
	// wait for being delivered again, in all instances together.
	maxUnacknowledged = 10_000
	// forgottenAfter is how long NATS keeps the consumer of an instance without a
	// name of its own.
	forgottenAfter = 5 * time.Minute
	// floorInterval is how often it is asked how far a consumer is, so that one
	// that was deleted can be made where it was.
	floorInterval = 5 * time.Second
)

// durableRunner handles the events of a stream: those of all partitions through
// one consumer, or with a key, each partition through a consumer of its own that
// has one event under way at a time. That keeps the order of a partition
// whatever its instances believe of each other; which instance takes which
// partition is then only a matter of who has room.
type durableRunner struct {
	*subscription
	stream  openStream
	dead    deadLetters
	tries   openStream
	records attemptRecords
	letters *deadStream
	burying sync.WaitGroup // events that the dead letters do not take yet
	// patience ends with giveUp, when they are left to other instances.
	patience context.Context //nolint:containedctx // the life of what waits
	giveUp   context.CancelFunc
	lanes    *lanes
	part     part
	causes   causes

	mu         sync.Mutex
	stopped    bool
	created    time.Time          // of the stream
	partitions map[int]*partition // those that this instance takes; 0 without a key
	old        []*partition       // those that it took, while something is held
	floors     map[int]uint64     // how far the consumers are
	membership *members.Group     // nil unless the group shares partitions
	halt       context.CancelFunc
	chores     sync.WaitGroup
}

// partition is one consumer.
type partition struct {
	puller *pull.Puller
	pace   pace
}

func newDurableRunner(s *subscription) *durableRunner {
	r := &durableRunner{subscription: s, partitions: make(map[int]*partition), floors: make(map[int]uint64)}
	conn := s.server.conn
	policy := s.cfg.storage.policy(warnOnce(s.logger))
	r.stream = conn.openStream(conn.eventStream(s.service, &s.cfg.storage), policy)
	r.part = part{of: &s.server.parts, name: "the events of " + s.spec.name(), logger: s.logger}
	r.tries = conn.openStream(conn.attemptStream(s.service, &s.cfg.storage), policy)
	r.records = attemptRecords{stream: &r.tries, subject: r.attemptsOf, most: s.retry.MaxAttempts, optional: true, logger: s.logger}
	r.records.init()
	r.causes.part = &r.part
	r.dead.init(conn, s.service.Name, &s.cfg.storage, s.service.EventStorage, r.stream.Policy)
	r.letters = newDeadStream(s.server, &r.dead, s.logger)
	r.letters.found.Store(s.cfg.noDeadLetters) // there is none to look for
	r.patience, r.giveUp = context.WithCancel(context.Background())
	return r
}

// attemptsOf is where the attempts of an event are recorded.
func (r *durableRunner) attemptsOf(m *pull.Message) string {
	return r.server.conn.subjects.Try(r.service.Name, r.method.Name, r.consumer, m.Sequence)
}

func (r *durableRunner) keyed() bool { return r.event.KeyField != nil }

func (r *durableRunner) start(ctx context.Context) error {
	room := r.concurrency() + pullAhead
	if r.keyed() {
		room = 4 * r.event.Partitions // those of a partition that comes back may still be there
	}
	r.lanes = newLanes(r.concurrency(), room, &r.server.expired, r.handleMessage,
		func(m *pull.Message) { r.records.giveBackTaken(m, 0) })
	// What can never work is told at once; what may come, such as JetStream, is
	// waited for.
	for p := range r.event.Partitions {
		if _, err := r.open(ctx, p); err != nil {
			if lasting(err) {
				return fmt.Errorf("aegis: subscribe to %s: %w", r.spec.name(), err)
			}
			r.causes.fails(r.consumerName(p), err)
			break
		}
	}
	if err := r.letters.start(ctx); err != nil {
		return fmt.Errorf("aegis: subscribe to %s: %w", r.spec.name(), err)
	}
	life, halt := context.WithCancel(context.Background())
	r.halt = halt
	r.chores.Go(func() { r.letters.follow(life) })
	r.chores.Go(func() { r.followFloors(life) })
	if r.each || !r.keyed() {
		for p := range r.event.Partitions {
			if err := r.take(p); err != nil {
				return err
			}
		}
		return nil
	}
	membership, err := members.Join(r.server.conn.nc, r.server.conn.subjects.Members(r.service.Name, r.method.Name, r.group), r.server.process, r.share)
	if err != nil {
		return fmt.Errorf("aegis: subscribe to %s: %w", r.spec.name(), err)
	}
	r.membership = membership
	return nil
}

// pullAhead is the most that is held ahead of the handlers.
const pullAhead = 2048

// lasting tells errors that do not go away by themselves. Permissions do: they change
// under a server that runs, and all else that it does works without them.
func lasting(err error) bool {
	return errors.Is(err, stores.ErrMissing) || errors.Is(err, stores.ErrDifferent) || errors.Is(err, stores.ErrConfig)
}

func (r *durableRunner) consumerName(p int) string {
	if r.keyed() {
		return wire.PartitionConsumer(r.consumer, p)
	}
	return r.consumer
}

// open finds or makes stream and consumer.
func (r *durableRunner) open(ctx context.Context, p int) (pull.Source, error) {
	stream, err := r.server.conn.stores.Stream(ctx, r.stream.Want, r.stream.Policy)
	if err != nil {
		return pull.Source{}, err
	}
	r.letters.beside(stream)
	created := stream.CachedInfo().Created
	r.mu.Lock()
	again := !r.created.IsZero()
	if !r.created.Equal(created) {
		clear(r.floors) // another stream counts anew
		r.created = created
	}
	floor, known := r.floors[p]
	r.mu.Unlock()
	want := r.consumerConfig(p)
	switch {
	case known: // it was deleted
		want.DeliverPolicy, want.OptStartSeq, want.OptStartTime = jetstream.DeliverByStartSequencePolicy, floor+1, nil
	case again: // with its stream, and what is in there now is new
		want.DeliverPolicy, want.OptStartSeq, want.OptStartTime = jetstream.DeliverAllPolicy, 0, nil
	}
	c, err := r.server.conn.stores.Consumer(ctx, r.stream.Want.Name, want, r.stream.Policy)
	if err != nil {
		return pull.Source{}, err
	}
	r.mu.Lock()
	r.floors[p] = c.Floor
	r.mu.Unlock()
	return sourceOf(r.server.conn, c), nil
}

func (r *durableRunner) consumerConfig(p int) jetstream.ConsumerConfig {
	c := jetstream.ConsumerConfig{
		Name:          r.consumerName(p),
		Description:   "Aegis: " + r.spec.name() + ", " + r.who(),
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       r.event.AckWait,
		MaxDeliver:    -1, // the runtime counts: what NATS gives up has no dead letter
		MaxAckPending: maxUnacknowledged,
		FilterSubject: r.server.conn.subjects.LogAll(r.service.Name, r.method.Name),
		DeliverPolicy: jetstream.DeliverNewPolicy,
	}
	if r.keyed() {
		c.MaxAckPending = 1
		c.FilterSubject = r.server.conn.subjects.Log(r.service.Name, r.method.Name, p)
	}
	if r.each && !r.server.cfg.named {
		c.InactiveThreshold = forgottenAfter
	} else {
		c.Durable = c.Name
	}
	if s := r.cfg.start; s != nil {
		switch s.kind {
		case startNew:
		case startAll:
			c.DeliverPolicy = jetstream.DeliverAllPolicy
		case startSequence:
			c.DeliverPolicy, c.OptStartSeq = jetstream.DeliverByStartSequencePolicy, s.sequence
		case startTime:
			c.DeliverPolicy, c.OptStartTime = jetstream.DeliverByStartTimePolicy, &s.time
		}
	}
	return c
}

// share takes the partitions that are this instance's among the members.
func (r *durableRunner) share(all []string) {
	mine := make(map[int]bool)
	for _, p := range members.Share(all, r.server.process, r.event.Partitions) {
		mine[p] = true
	}
	var leaving []*pull.Puller
	r.mu.Lock()
	for p, taken := range r.partitions {
		if !mine[p] {
			delete(r.partitions, p)
			r.old = append(r.old, taken)
			leaving = append(leaving, taken.puller)
		}
	}
	r.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), releaseTime)
	defer cancel()
	stopPulling(ctx, leaving)
	for p := range r.event.Partitions { // also those that were only looked for at the start
		if name := r.consumerName(p); !mine[p] && r.causes.failed(name) {
			r.causes.works(name) // its troubles are those of others now
		}
	}
	for p := range mine {
		if err := r.take(p); err != nil {
			r.causes.fails(r.consumerName(p), err)
		}
	}
	r.sweep()
}

// sweep closes the pullers that hold nothing any more.
func (r *durableRunner) sweep() {
	r.mu.Lock()
	var empty, left []*partition
	for _, p := range r.old {
		if p.puller.Held() == 0 {
			empty = append(empty, p)
		} else {
			left = append(left, p)
		}
	}
	r.old = left
	r.mu.Unlock()
	for _, p := range empty {
		p.puller.Close()
	}
}

// take begins to take the events of a partition.
func (r *durableRunner) take(p int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped || r.partitions[p] != nil {
		return nil
	}
	taken := &partition{}
	options := r.causes.pulling(r.server.conn, r.stream.Want.Name, r.consumerName(p))
	options.Open = func(ctx context.Context) (pull.Source, error) { return r.open(ctx, p) }
	options.Deliver = r.lanes.put
	if r.keyed() {
		options.Backlog = nil // one at a time is how it is meant
	}
	puller, err := pull.Start(options)
	if err != nil {
		return fmt.Errorf("aegis: subscribe to %s: %w", r.spec.name(), err)
	}
	taken.puller = puller
	if r.keyed() {
		puller.SetWindow(2) // one under way, and one that NATS knows where to send
	} else {
		puller.SetWindow(r.concurrency())
		taken.pace = pace{puller: puller, most: r.concurrency(), onlyOne: r.retry.MaxAttempts == 1}
	}
	r.partitions[p] = taken
	return nil
}

// followFloors asks how far the consumers are.
func (r *durableRunner) followFloors(ctx context.Context) {
	ticker := time.NewTicker(floorInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		r.sweep()
		r.mu.Lock()
		of := r.created
		taken := make([]int, 0, len(r.partitions))
		for p := range r.partitions {
			taken = append(taken, p)
		}
		r.mu.Unlock()
		for _, p := range taken {
			floor, err := r.server.conn.stores.Floor(ctx, r.stream.Want.Name, r.consumerName(p))
			if err != nil {
				break // another time
			}
			r.mu.Lock()
			if r.created.Equal(of) { // else it may be that of a consumer which went with its stream
				r.floors[p] = max(r.floors[p], floor)
			}
			r.mu.Unlock()
		}
	}
}

// handleMessage handles one event. What it does not acknowledge comes again.
func (r *durableRunner) handleMessage(m *pull.Message) {
	defer r.done()
	if only := m.Header.Get(wire.HeaderOnly); only != "" && only != r.consumer {
		_ = m.Ack() // put back for somebody else; if that is lost it comes again
		return
	}
	try, failure := r.records.look(r.server.base, m)
	if failure != nil {
		r.logger().Warn("aegis: it cannot be seen how many attempts an event has had; it is looked at again", "sequence", m.Sequence, "err", failure)
		_ = m.Nak(backoffAfter(r.retry, 1)) // else it comes when its time is over
		return
	}
	if try.Exhausted() {
		r.bury(m, try, try.Counted(), exhaustedBy(try, errLost))
		return
	}
	ev, err := r.read(m.Msg)
	if err != nil {
		r.bury(m, try, try.Counted()+1, err)
		return
	}
	running, ok := r.begin(m, try)
	if !ok {
		return
	}
	ctx := r.context(m.Msg, Delivery{Sequence: m.Sequence, Time: m.Time, Attempt: try.Number()})
	r.call(ctx, ev, func(err error) {
		r.server.alone.end(running)
		r.ended(m, try, err)
	})
}

// begin waits until the handler may begin, and stores that it does where that has
// to be known. If it returns false, the event was given back.
func (r *durableRunner) begin(m *pull.Message, try attempts.Try) (pass, bool) {
	running, ok := r.server.alone.begin(r.server.base, try.Suspect())
	if !ok {
		r.records.giveBack(r.server.base, m, try, false, 0)
		return running, false
	}
	if !r.records.note(r.server.base, m, try) {
		r.server.alone.end(running)
		r.records.giveBack(r.server.base, m, try, false, backoffAfter(r.retry, 1))
		return running, false
	}
	return running, true
}

// errLost is why an event is dead whose last attempt never ended.
var errLost = errors.New("the instance that worked on the last attempt was lost")

func (r *durableRunner) ended(m *pull.Message, try attempts.Try, err error) {
	switch {
	case err == nil:
		_ = m.Ack() // if it is lost the event comes again
		r.forgetAttempts(m)
	case r.server.expired.Load():
		r.records.giveBack(r.server.base, m, try, true, 0) // the server's patience ended it; another instance may do better
	case IsPermanent(err), try.Last():
		r.bury(m, try, try.Counted()+1, err)
	default:
		pause := backoffAfter(r.retry, try.Counted()+1)
		r.logger().Warn("aegis: the handler of an event failed", "sequence", m.Sequence, "attempt", try.Number(), "again_in", pause, "err", original(err))
		r.records.failed(r.server.base, m, try)
		_ = m.Nak(pause) // else it comes when its time is over
	}
}

// forgetAttempts takes away what is recorded of an event that has ended.
func (r *durableRunner) forgetAttempts(m *pull.Message) {
	if m.Delivered() > 1 || r.retry.MaxAttempts == 1 {
		r.records.forget(m)
	}
}

// bury puts an event into the dead letters, and acknowledges it when it is there.
func (r *durableRunner) bury(m *pull.Message, try attempts.Try, attempts int, reason error) {
	if r.cfg.noDeadLetters {
		r.logger().Error("aegis: an event is dropped", "sequence", m.Sequence, "attempts", attempts, "reason", original(reason))
		_ = m.Ack() // if it is lost it is dropped again
		r.forgetAttempts(m)
		return
	}
	letter := &deadLetter{
		method: r.method.Name, id: uitoa(m.Sequence), consumer: r.consumer, subject: m.Subject, sequence: m.Sequence, stored: m.Time,
		reason: reason.Error(), why: original(reason), attempts: attempts, header: m.Header, data: m.Data,
	}
	_, err := r.dead.add(r.server.base, letter)
	if err == nil {
		r.buried(m, letter)
		return
	}
	r.logger().Error("aegis: an event belongs to the dead letters, which do not take it; it is tried again",
		"sequence", m.Sequence, "err", err, "reason", letter.why)
	r.letters.part.fails(err)
	r.records.dead(r.server.base, m, try, letter.reason) // should this instance be lost
	m.Park()
	r.burying.Go(func() { r.buryLater(m, letter) })
}

func (r *durableRunner) buried(m *pull.Message, letter *deadLetter) {
	r.letters.part.works()
	r.logger().Error("aegis: an event went to the dead letters", "sequence", m.Sequence, "attempts", letter.attempts, "reason", letter.why)
	_ = m.Ack() // if it is lost, the dead letter's id tells the second one
	r.forgetAttempts(m)
}

// buryLater tries until the dead letters take the event, or the server ends: its
// handler must not run again because of them.
func (r *durableRunner) buryLater(m *pull.Message, letter *deadLetter) {
	for attempt := 1; ; attempt++ {
		if !bus.Sleep(r.patience, bus.Jitter(min(firstBuryPause<<min(attempt, 10), lastBuryPause)), time.Now().Add(time.Hour)) {
			_ = m.Nak(0) // to another instance
			return
		}
		_, err := r.dead.add(r.patience, letter)
		if err == nil {
			r.buried(m, letter)
			return
		}
		if r.patience.Err() == nil {
			r.letters.part.fails(err)
		}
	}
}

// exhaustedBy is why a message has no further attempt: what was stored, or else
// that its worker was lost.
func exhaustedBy(try attempts.Try, lost error) error {
	if reason := try.Reason(); reason != "" {
		return errors.New(reason)
	}
	return lost
}

// done counts an event, so that the puller keeps up.
func (r *durableRunner) done() {
	if r.keyed() {
		return
	}
	r.mu.Lock()
	taken := r.partitions[0]
	r.mu.Unlock()
	if taken != nil {
		taken.pace.done()
	}
}

func (r *durableRunner) pullers() []*pull.Puller {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []*pull.Puller
	for _, p := range r.partitions {
		all = append(all, p.puller)
	}
	for _, p := range r.old {
		all = append(all, p.puller)
	}
	return all
}

func (r *durableRunner) stop(ctx context.Context) {
	r.mu.Lock()
	r.stopped = true
	r.mu.Unlock()
	if r.lanes == nil {
		return // never started
	}
	if r.membership != nil {
		r.membership.Leave(ctx)
	}
	stopPulling(ctx, r.pullers())
	r.lanes.close()
}

func (r *durableRunner) wait() {
	if r.lanes != nil {
		r.lanes.wait()
	}
}

func (r *durableRunner) end() {
	if r.halt != nil {
		r.halt()
		r.chores.Wait()
	}
	r.giveUp()
	r.burying.Wait()
	r.records.end() // what the server's patience was too short for is still given back
	for _, p := range r.pullers() {
		p.Close()
	}
	if r.each && !r.server.cfg.named && r.lanes != nil {
		r.forget()
	}
}

// forget deletes the consumers of an instance that will not come back.
func (r *durableRunner) forget() {
	ctx, cancel := context.WithTimeout(context.Background(), releaseTime)
	defer cancel()
	ctx, why := r.server.conn.stores.Allowed(ctx, "CONSUMER.DELETE."+r.stream.Want.Name)
	defer func() { _ = why(nil) }()
	for p := range r.event.Partitions {
		// NATS deletes it by itself, later.
		if err := r.server.conn.stores.JetStream().DeleteConsumer(ctx, r.stream.Want.Name, r.consumerName(p)); err != nil {
			return
		}
	}
}

func (r *durableRunner) running(names map[string]int) {
	if r.lanes != nil {
		if n := int(r.lanes.busy.Load()); n > 0 {
			names[r.spec.name()] += n
		}
	}
}
