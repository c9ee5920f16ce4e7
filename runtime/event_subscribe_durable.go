package aegis

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/members"
	"github.com/aegisrpc/aegis/runtime/internal/parts"
	"github.com/aegisrpc/aegis/runtime/internal/pull"
	"github.com/aegisrpc/aegis/runtime/internal/work"
)

const (
	// The pauses between attempts to bury an event double from the first to the last.
	firstBuryPause = 100 * time.Millisecond
	lastBuryPause  = 5 * time.Second
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
	tries   openStream
	work    work.Worker
	dead    *work.DeadLetters
	letters *work.LetterStream
	trouble *parts.Part    // of the dead letters
	burying sync.WaitGroup // events that the dead letters do not take yet
	// patience ends with giveUp, when they are left to other instances.
	patience context.Context //nolint:containedctx // the life of what waits
	giveUp   context.CancelFunc
	lanes    *work.Lanes
	causes   *parts.Causes

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
	pace   work.Pace
}

func newDurableRunner(s *subscription) *durableRunner {
	r := &durableRunner{subscription: s, partitions: make(map[int]*partition), floors: make(map[int]uint64)}
	conn := s.server.conn
	policy := s.cfg.storage.policy(warnOnce(s.logger))
	r.stream = conn.openStream(conn.layout().Events(s.service, s.cfg.storage.settings()), policy)
	r.tries = conn.openStream(conn.layout().Attempts(s.service, s.cfg.storage.settings()), policy)
	r.work = work.Worker{
		Noun: "an event", Alone: s.server.alone, Logger: s.logger,
		Attr:    func(m *pull.Message) slog.Attr { return slog.Uint64("sequence", m.Sequence) },
		Backoff: func(failed int) time.Duration { return work.Backoff(s.retry, failed) },
		Records: work.NewRecords(work.RecordsConfig{
			Bus: conn.bus, Stores: conn.stores, Stream: &r.tries.Stream, Subject: r.attemptsOf,
			Most: s.retry.MaxAttempts, Optional: true, Logger: s.logger,
		}),
	}
	r.causes = parts.NewCauses(s.server.parts.New("the events of "+s.name, s.logger))
	r.dead, r.trouble = s.server.deadLetters(s.service.Name, &s.cfg.storage, s.service.EventStorage, policy, s.logger)
	r.letters = work.NewLetterStream(r.dead, r.trouble, s.cfg.noDeadLetters)
	r.patience, r.giveUp = context.WithCancel(context.Background())
	return r
}

// attemptsOf is where the attempts of an event are recorded.
func (r *durableRunner) attemptsOf(m *pull.Message) string {
	return r.server.conn.subjects.Try(r.service.Name, r.method.Name, r.consumer, m.Sequence)
}

func (r *durableRunner) keyed() bool { return r.event.KeyField != nil }

func (r *durableRunner) start(ctx context.Context) error {
	r.work.Base = r.server.base
	room := r.concurrency() + pullAhead
	if r.keyed() {
		room = 4 * r.event.Partitions // those of a partition that comes back may still be there
	}
	r.lanes = work.NewLanes(r.concurrency(), room, &r.server.expired, r.handleMessage,
		func(m *pull.Message) { r.work.Records.GiveBackTaken(m, 0) })
	// What can never work is told at once; what may come, such as JetStream, is
	// waited for.
	for p := range r.event.Partitions {
		if _, err := r.open(ctx, p); err != nil {
			if work.Lasting(err) {
				return fmt.Errorf("aegis: subscribe to %s: %w", r.spec.name(), err)
			}
			r.causes.Fails(r.consumerName(p), err)
			break
		}
	}
	if err := r.letters.Start(ctx); err != nil {
		return fmt.Errorf("aegis: subscribe to %s: %w", r.spec.name(), err)
	}
	life, halt := context.WithCancel(context.Background())
	r.halt = halt
	r.chores.Go(func() { r.letters.Follow(life) })
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
	r.letters.Beside(stream)
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
	return work.Source(r.server.conn.stores, c), nil
}

func (r *durableRunner) consumerConfig(p int) jetstream.ConsumerConfig {
	c := jetstream.ConsumerConfig{
		Name:          r.consumerName(p),
		Description:   "Aegis: " + r.spec.name() + ", " + r.who(),
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       r.event.AckWait,
		MaxDeliver:    -1, // the runtime counts: what NATS gives up has no dead letter
		MaxAckPending: work.MaxUnacknowledged,
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
	work.StopPulling(ctx, leaving)
	for p := range r.event.Partitions { // also those that were only looked for at the start
		if name := r.consumerName(p); !mine[p] && r.causes.Failed(name) {
			r.causes.Works(name) // its troubles are those of others now
		}
	}
	for p := range mine {
		if err := r.take(p); err != nil {
			r.causes.Fails(r.consumerName(p), err)
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
	conn := r.server.conn
	options := work.Pulling(conn.bus, conn.stores, r.causes, r.stream.Want.Name, r.consumerName(p), r.keyed())
	options.Open = func(ctx context.Context) (pull.Source, error) { return r.open(ctx, p) }
	options.Deliver = r.lanes.Put
	puller, err := pull.Start(options)
	if err != nil {
		return fmt.Errorf("aegis: subscribe to %s: %w", r.spec.name(), err)
	}
	taken.puller = puller
	if r.keyed() {
		puller.SetWindow(2) // one under way, and one that NATS knows where to send
	} else {
		puller.SetWindow(r.concurrency())
		taken.pace = work.Pace{Puller: puller, Most: r.concurrency(), OnlyOne: r.retry.MaxAttempts == 1}
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
	job, ok := r.work.Look(m)
	if !ok {
		return
	}
	if job.Try.Exhausted() {
		r.bury(&job, job.Try.Counted(), job.Exhausted("the instance that worked on the last attempt was lost"))
		return
	}
	ev, err := r.read(m.Msg)
	if err != nil {
		r.bury(&job, job.Attempts(), err)
		return
	}
	if !job.Begin(r.server.base, nil) {
		return
	}
	ctx := r.context(m.Msg, Delivery{Sequence: m.Sequence, Time: m.Time, Attempt: job.Try.Number()})
	r.call(ctx, ev, func(err error) {
		job.Ended()
		r.ended(&job, err)
	})
}

// ended decides what becomes of an event whose handler has returned.
func (r *durableRunner) ended(job *work.Job, err error) {
	switch {
	case err == nil:
		job.Done()
	case r.server.expired.Load():
		job.GiveBack() // the server's patience ended it; another instance may do better
	case IsPermanent(err), job.Try.Last():
		r.bury(job, job.Attempts(), err)
	default:
		job.Fail(original(err))
	}
}

// bury puts an event into the dead letters, and acknowledges it when it is there.
func (r *durableRunner) bury(job *work.Job, attempts int, reason error) {
	if r.cfg.noDeadLetters {
		r.logger().Error("aegis: an event is dropped", "sequence", job.Sequence, "attempts", attempts, "reason", original(reason))
		job.Done() // if that is lost it is dropped again
		return
	}
	letter := &work.Letter{
		Method: r.method.Name, ID: strconv.FormatUint(job.Sequence, 10), Consumer: r.consumer,
		Subject: job.Subject, Sequence: job.Sequence, Stored: job.Time,
		Reason: reason.Error(), Attempts: attempts, Header: job.Header, Data: job.Data,
	}
	_, why := r.dead.Add(r.server.base, letter)
	if why == nil {
		r.buried(job, letter, reason)
		return
	}
	r.logger().Error("aegis: an event belongs to the dead letters, which do not take it; it is tried again",
		"sequence", job.Sequence, "err", why.Text(), "reason", original(reason))
	r.trouble.Fails(outward(why))
	job.Dead(letter.Reason) // should this instance be lost
	job.Park()
	r.burying.Go(func() { r.buryLater(job, letter, reason) })
}

func (r *durableRunner) buried(job *work.Job, letter *work.Letter, reason error) {
	r.trouble.Works()
	r.logger().Error("aegis: an event went to the dead letters", "sequence", job.Sequence, "attempts", letter.Attempts, "reason", original(reason))
	job.Done() // if that is lost, the dead letter's id tells the second one
}

// buryLater tries until the dead letters take the event, or the server ends: its
// handler must not run again because of them.
func (r *durableRunner) buryLater(job *work.Job, letter *work.Letter, reason error) {
	for attempt := 1; ; attempt++ {
		if !bus.Sleep(r.patience, bus.Jitter(min(firstBuryPause<<min(attempt, 10), lastBuryPause)), time.Now().Add(time.Hour)) {
			_ = job.Nak(0) // to another instance
			return
		}
		_, why := r.dead.Add(r.patience, letter)
		if why == nil {
			r.buried(job, letter, reason)
			return
		}
		if r.patience.Err() == nil {
			r.trouble.Fails(outward(why))
		}
	}
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
		taken.pace.Done()
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
	work.StopPulling(ctx, r.pullers())
	r.lanes.Close()
}

func (r *durableRunner) wait() {
	if r.lanes != nil {
		r.lanes.Wait()
	}
}

func (r *durableRunner) end() {
	if r.halt != nil {
		r.halt()
		r.chores.Wait()
	}
	r.giveUp()
	r.burying.Wait()
	r.work.Records.End() // what the server's patience was too short for is still given back
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
		if n := r.lanes.Running(); n > 0 {
			names[r.spec.name()] += n
		}
	}
}
