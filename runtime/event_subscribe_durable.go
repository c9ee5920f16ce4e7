package aegis

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/keyfield"
	"github.com/aegisrpc/aegis/runtime/internal/parts"
	"github.com/aegisrpc/aegis/runtime/internal/pull"
	"github.com/aegisrpc/aegis/runtime/internal/status"
	"github.com/aegisrpc/aegis/runtime/internal/work"
)

// durableRunner handles the events of a stream. Its parts take the events of the
// partitions, run the handlers, record attempts, and bury events that no handler could
// handle.
type durableRunner struct {
	*subscription
	events     openStream
	attempts   openStream
	partitions *work.Partitions
	work       work.Worker
	lanes      *work.Lanes // nil before the start
	burial     *work.Burial
	misplaced  sync.Once // the warning of checkPartition
}

func newDurableRunner(s *subscription) *durableRunner {
	r := &durableRunner{subscription: s}
	conn := s.server.conn
	policy := s.cfg.storage.policy(warnOnce(s.logger))
	r.events = conn.openStream(conn.layout().Events(s.service, s.cfg.storage.settings()), policy)
	r.attempts = conn.openStream(conn.layout().Attempts(s.service, s.cfg.storage.settings()), policy)
	r.work = work.Worker{
		Noun: "an event", Alone: s.server.alone, Logger: s.logger,
		Attr:    func(m *pull.Message) slog.Attr { return slog.Uint64("sequence", m.Sequence) },
		Backoff: func(failed int) time.Duration { return work.Backoff(s.retry, failed) },
		Records: work.NewRecords(work.RecordsConfig{
			Bus: conn.bus, Stores: conn.stores, Stream: &r.attempts.Stream, Subject: r.attemptsOf,
			Most: s.retry.MaxAttempts, Optional: true, Logger: s.logger,
		}),
	}
	causes := parts.NewCauses(s.server.parts.New("the events of "+s.name, s.logger))
	letters, part := s.server.deadLetters(s.service.Name, &s.cfg.storage, s.service.EventStorage, policy, s.logger)
	r.burial = work.NewBurial(letters, part, s.cfg.noDeadLetters, s.logger, func(why *status.Status) error { return outward(why) })
	r.partitions = work.NewPartitions(r.partitionsConfig(causes))
	return r
}

// partitionsConfig says what the consumers of the event are like, and where their events
// go.
func (r *durableRunner) partitionsConfig(causes *parts.Causes) *work.PartitionsConfig {
	conn, server := r.server.conn, r.server
	c := &work.PartitionsConfig{
		Bus: conn.bus, Stores: conn.stores, Stream: &r.events.Stream, Name: r.name, Event: r.method.Name, Count: r.event.Partitions, Keyed: r.keyed(),
		Consumer: r.consumer, Template: r.cfg.from().ConsumerConfig(), Kept: !r.each || server.cfg.named, Process: server.process,
		Concurrency: r.concurrency(), OnlyOne: r.retry.MaxAttempts == 1, Causes: causes, Found: r.burial.Beside,
		Filter:  func(_, _ int) string { return conn.subjects.LogAll(r.service.Name, r.method.Name) },
		Deliver: func(m *pull.Message) { r.lanes.Put(m) },
	}
	c.Template.Description = "Aegis: " + r.name + ", " + r.who()
	c.Template.AckWait = r.event.AckWait
	if r.keyed() {
		c.Filter = func(epoch, p int) string { return conn.subjects.LogIn(r.service.Name, r.method.Name, epoch, p) }
		c.NewsSubject = conn.subjects.Repartitioned(r.service.Name, r.method.Name)
	}
	if r.keyed() && r.cfg.concurrency == 0 {
		c.Counted = func(n int) { r.lanes.Widen(n) }
	}
	if r.keyed() && !r.each {
		c.MembersSubject = conn.subjects.Members(r.service.Name, r.method.Name, r.group)
	}
	return c
}

// ConsumerConfig returns the settings of a JetStream consumer that begins at p: its
// DeliverPolicy, OptStartSeq and OptStartTime, and no others. Programs use it that read the
// stream of events themselves.
func (p Position) ConsumerConfig() jetstream.ConsumerConfig {
	c := jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverNewPolicy}
	switch p.kind {
	case startNew:
	case startAll:
		c.DeliverPolicy = jetstream.DeliverAllPolicy
	case startSequence:
		c.DeliverPolicy, c.OptStartSeq = jetstream.DeliverByStartSequencePolicy, p.sequence
	case startTime:
		c.DeliverPolicy, c.OptStartTime = jetstream.DeliverByStartTimePolicy, &p.time
	}
	return c
}

// from returns where a new group or instance begins.
func (c *subscribeConfig) from() Position {
	if c.start == nil {
		return StartNew()
	}
	return *c.start
}

// attemptsOf returns the subject of the record of an event's attempts.
func (r *durableRunner) attemptsOf(m *pull.Message) string {
	return r.server.conn.subjects.Try(r.service.Name, r.method.Name, r.consumer, m.Sequence)
}

func (r *durableRunner) keyed() bool { return r.event.KeyField != nil }

// pullAhead is how many events are held at most beside the events in the hands of handlers.
const pullAhead = 2048

// start returns an error for a problem that never goes away by itself. A problem that may
// pass, such as JetStream's being away, only keeps the server from being ready.
func (r *durableRunner) start(ctx context.Context) error {
	r.work.Base = r.server.base //nolint:fatcontext // set once, before the first message
	room := r.concurrency() + pullAhead
	if r.keyed() {
		room = 4 * wire.MostPartitions // a partition that comes back may still have events in the lanes
	}
	r.lanes = work.NewLanes(r.concurrency(), room, &r.server.expired, r.handleMessage,
		func(m *pull.Message) { r.work.Records.GiveBackTaken(m, 0) })
	if err := r.partitions.Look(ctx); err != nil {
		return fmt.Errorf("aegis: subscribe to %s: %w", r.name, err)
	}
	if err := r.burial.Start(ctx); err != nil {
		return fmt.Errorf("aegis: subscribe to %s: %w", r.name, err)
	}
	return r.partitions.Start()
}

// handleMessage handles one event. An event that it does not acknowledge comes again.
func (r *durableRunner) handleMessage(m *pull.Message) {
	defer r.partitions.Handled()
	if only := m.Header.Get(wire.HeaderOnly); only != "" && only != r.consumer {
		_ = m.Ack() // a dead letter was put back for another consumer; if this is lost, the event comes again
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
	r.checkPartition(m, ev)
	if !job.Begin(r.server.base, nil) {
		return
	}
	ctx := r.context(m.Msg, Delivery{Sequence: m.Sequence, Time: m.Time, Attempt: job.Try.Number()})
	r.call(ctx, ev, func(err error) {
		job.Ended()
		r.handled(&job, err)
	})
}

// checkPartition warns of an event that is in the partition of another key: the order of
// its key does not hold then. Publishers cannot be wrong, but a plain client can, and that
// is who publishes JSON.
func (r *durableRunner) checkPartition(m *pull.Message, ev proto.Message) {
	if !r.keyed() || !wire.WantsJSON(m.Header) {
		return
	}
	if right := r.partitions.Subject(r.keyHash(ev)); m.Subject != right {
		r.misplaced.Do(func() {
			r.logger().Warn("aegis: an event is in the partition of another key, so that the order of its key does not hold; "+
				"docs/events.md says how a plain client finds the partition", "published", m.Subject, "belongs", right)
		})
	}
}

func (r *durableRunner) keyHash(ev proto.Message) uint64 {
	return wire.KeyHash(keyfield.New(r.event.KeyField).Of(ev))
}

// handled decides what becomes of an event whose handler has returned.
func (r *durableRunner) handled(job *work.Job, err error) {
	switch {
	case err == nil:
		job.Done()
	case r.server.expired.Load():
		job.GiveBack() // the server's patience has ended the handler; another instance has more time
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
		job.Done() // if the acknowledgement is lost, the event is dropped again
		return
	}
	r.burial.Bury(job, &work.Letter{
		Hash: r.hashOf(job), Method: r.method.Name, ID: strconv.FormatUint(job.Sequence, 10), Consumer: r.consumer,
		Subject: job.Subject, Sequence: job.Sequence, Stored: job.Time,
		Reason: reason.Error(), Attempts: attempts, Header: job.Header, Data: job.Data,
	}, original(reason))
}

// hashOf returns the hash of the key of an event; nil without a key, or if the event cannot be
// read.
func (r *durableRunner) hashOf(job *work.Job) *uint64 {
	ev := r.handler.message()
	if !r.keyed() || readMessage(job.Msg, ev) != nil {
		return nil
	}
	return new(r.keyHash(ev))
}

func (r *durableRunner) stop(ctx context.Context) {
	if r.lanes == nil {
		return // start was never called
	}
	r.partitions.Stop(ctx)
	r.lanes.Close() // nothing is delivered any more
}

func (r *durableRunner) wait() {
	if r.lanes != nil {
		r.lanes.Wait()
	}
}

func (r *durableRunner) end() {
	r.partitions.Unfollow() // first, as it may wait for an answer of JetStream
	r.burial.End()          // gives events back that wait for the dead letters
	r.work.Records.End()    // gives events back for which the lanes had no time
	r.partitions.End()      // last, as events are renewed until then
}

func (r *durableRunner) running(names map[string]int) {
	if r.lanes != nil {
		if n := r.lanes.Running(); n > 0 {
			names[r.name] += n
		}
	}
}
