package aegisreflect

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/aegisrpc/aegis/internal/wire"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/internal/jserror"
)

// storedSource reads durable events by a consumer without acknowledgements, which lives in
// the memory of the NATS server. Events that are lost on their way leave a gap in the
// consumer's own sequence; another consumer begins behind the last event then, as it does
// after an outage.
type storedSource struct {
	method *Method
	conn   *aegis.Conn
	stream string
	filter string
	start  jetstream.ConsumerConfig // where the first consumer begins
	last   uint64                   // the sequence of the last event; 0 before the first
	count  uint64                   // how many events the consumer has delivered

	mu       sync.Mutex // guards the fields below
	closed   bool
	messages jetstream.MessagesContext // nil if there is no consumer
	consumer string                    // its name
}

const (
	// abandoned is when NATS removes the consumer of a process that is gone.
	abandoned = time.Minute
	// removeTimeout bounds the wait until NATS has removed a consumer.
	removeTimeout = 2 * time.Second
	// openTimeout bounds one attempt to make a consumer.
	openTimeout = 5 * time.Second
	// pullExpiry and pullBeat say how soon a consumer that is gone is noticed.
	pullExpiry, pullBeat = 30 * time.Second, 2 * time.Second
	// firstPause and longestPause are those between attempts to make a consumer anew.
	firstPause, longestPause = 100 * time.Millisecond, 5 * time.Second
)

func newStoredSource(ctx context.Context, m *Method, from aegis.Position) (*storedSource, error) {
	conn := m.service.resolver.conn
	s := &storedSource{
		method: m, conn: conn, start: from.ConsumerConfig(),
		stream: wire.EventStream(conn.Namespace(), m.service.Name()),
		filter: wire.NewSubjects(conn.Namespace()).LogEver(m.service.Name(), m.Name()),
	}
	switch {
	case s.start.DeliverPolicy == jetstream.DeliverByStartSequencePolicy && s.start.OptStartSeq == 0:
		return nil, aegis.NewError(aegis.CodeInvalidArgument, "observe from sequence 0: use 1 or more, or aegis.StartAll")
	case s.start.OptStartTime != nil && s.start.OptStartTime.IsZero():
		return nil, aegis.NewError(aegis.CodeInvalidArgument, "observe from no time: use aegis.StartAll")
	}
	bounded, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	var stream jetstream.Stream
	err := s.request(bounded, func(ctx context.Context) (err error) {
		stream, err = conn.JetStream().Stream(ctx, s.stream)
		return err
	})
	if err != nil {
		return nil, s.failure(ctx, err)
	}
	if s.start.DeliverPolicy == jetstream.DeliverNewPolicy {
		// So that a later consumer begins at the same place.
		s.start = aegis.StartSequence(stream.CachedInfo().State.LastSeq + 1).ConsumerConfig()
	}
	if err := s.open(ctx); err != nil {
		return nil, s.failure(ctx, err)
	}
	return s, nil
}

// open makes a consumer that begins behind the last event.
func (s *storedSource) open(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	config := s.start
	if s.last > 0 {
		config = aegis.StartSequence(s.last + 1).ConsumerConfig()
	}
	config.Description = "Aegis: an observer of " + s.method.FullName()
	config.AckPolicy, config.FilterSubject = jetstream.AckNonePolicy, s.filter
	config.MemoryStorage, config.Replicas, config.InactiveThreshold = true, 1, abandoned
	var consumer jetstream.Consumer
	err := s.request(ctx, func(ctx context.Context) (err error) {
		consumer, err = s.conn.JetStream().CreateConsumer(ctx, s.stream, config)
		return err
	})
	if err != nil {
		return err
	}
	name := consumer.CachedInfo().Name
	messages, err := consumer.Messages(jetstream.PullExpiry(pullExpiry), jetstream.PullHeartbeat(pullBeat))
	if err != nil {
		s.remove(name)
		return err
	}
	s.mu.Lock()
	closed := s.closed
	if !closed {
		s.messages, s.consumer = messages, name
	}
	s.mu.Unlock()
	if closed {
		messages.Stop()
		s.remove(name)
		return context.Canceled
	}
	s.count = 0
	return nil
}

// request calls f, which asks JetStream about the stream.
func (s *storedSource) request(ctx context.Context, f func(ctx context.Context) error) error {
	return undenied(ctx, s.conn, aboutStream(s.stream), f)
}

func (s *storedSource) next(ctx context.Context) (*Event, error) {
	pause := firstPause
	for ctx.Err() == nil {
		messages := s.reading()
		if messages == nil {
			err := s.open(ctx)
			switch {
			case err == nil:
				pause = firstPause
			case s.forGood(err):
				return nil, s.failure(ctx, err)
			default:
				wait(ctx, pause)
				pause = min(2*pause, longestPause)
			}
			continue
		}
		msg, err := messages.Next(jetstream.NextContext(ctx))
		if err == nil {
			if e := s.take(msg); e != nil {
				return e, nil
			}
		} else if ctx.Err() != nil {
			break
		}
		s.drop()
	}
	return nil, ctx.Err()
}

// take makes an event of a message; nil if messages before it are missing.
func (s *storedSource) take(msg jetstream.Msg) *Event {
	meta, err := msg.Metadata()
	if err != nil || meta.Sequence.Consumer != s.count+1 {
		return nil
	}
	s.count++
	s.last = meta.Sequence.Stream
	e := s.method.event(msg.Headers(), msg.Data())
	e.Sequence, e.Time = meta.Sequence.Stream, meta.Timestamp
	return e
}

func (s *storedSource) reading() jetstream.MessagesContext {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.messages
}

// drop gives the consumer up.
func (s *storedSource) drop() {
	s.mu.Lock()
	messages, name := s.messages, s.consumer
	s.messages, s.consumer = nil, ""
	s.mu.Unlock()
	if messages == nil {
		return
	}
	messages.Stop()
	s.remove(name)
}

func (s *storedSource) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.drop()
}

// remove has NATS remove a consumer. If that fails, NATS does so later by itself.
func (s *storedSource) remove(name string) {
	if !s.conn.NATS().IsConnected() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), removeTimeout)
	defer cancel()
	_ = s.conn.JetStream().DeleteConsumer(ctx, s.stream, name)
}

// forGood reports whether another attempt would fail as well.
func (s *storedSource) forGood(err error) bool {
	return errors.Is(err, jetstream.ErrStreamNotFound) || s.conn.NATS().IsClosed() || errors.Is(err, nats.ErrConnectionClosed) && !s.conn.NATS().IsReconnecting()
}

// failure makes an error with a code of an error of JetStream. ctx is that of the Observer.
func (s *storedSource) failure(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return aegis.Errorf(aegis.CodeNotFound, "the stream %s of the events of %s does not exist: nobody has published or subscribed yet",
			s.stream, s.method.service.Name())
	case ctx.Err() == nil && jserror.NotEnabled(err):
		return aegis.Errorf(aegis.CodeUnavailable, "the events of %s: JetStream is not available: %w", s.method.FullName(), err)
	}
	return natsError(s.conn, s.method, err)
}

// wait waits, or until ctx ends.
func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
