package aegisreflect

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/wire"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/internal/denials"
)

// coreSource is a plain subscription to core events.
type coreSource struct {
	method *Method
	sub    *nats.Subscription
	once   sync.Once
}

// flushTimeout bounds the wait until NATS has a subscription.
const flushTimeout = 10 * time.Second

func newCoreSource(ctx context.Context, m *Method, from aegis.Position) (*coreSource, error) {
	if from != aegis.StartNew() {
		return nil, aegis.Errorf(aegis.CodeInvalidArgument, "%s is not stored, so that its events can be observed from now on alone", m.FullName())
	}
	conn := m.service.resolver.conn
	subject := wire.NewSubjects(conn.Namespace()).Event(m.service.Name(), m.Name())
	sub, err := conn.NATS().SubscribeSync(subject)
	if err != nil {
		return nil, natsError(conn, m, err)
	}
	s := &coreSource{method: m, sub: sub}
	ctx, cancel := context.WithTimeout(ctx, flushTimeout)
	defer cancel()
	// NATS refuses a subscription before it answers to the flush.
	if err := conn.NATS().FlushWithContext(ctx); err != nil {
		s.close()
		return nil, natsError(conn, m, err)
	}
	if d := denials.Parse(conn.NATS().LastError()); d != nil && d.Subscribe && d.Subject == subject {
		s.close()
		return nil, aegis.Errorf(aegis.CodePermissionDenied, "NATS does not allow this user to subscribe to %s: %w", subject, d.Err)
	}
	return s, nil
}

func (s *coreSource) next(ctx context.Context) (*Event, error) {
	msg, err := s.sub.NextMsgWithContext(ctx)
	if err != nil {
		return nil, natsError(s.method.service.resolver.conn, s.method, err)
	}
	e := s.method.event(msg.Header, msg.Data)
	e.Time = time.Now()
	return e, nil
}

func (s *coreSource) close() {
	s.once.Do(func() { _ = s.sub.Unsubscribe() }) // fails only if it is gone already
}

// natsError makes an error with a code of an error of nats.go.
func natsError(conn *aegis.Conn, m *Method, err error) error {
	switch {
	case conn.NATS().IsClosed(), errors.Is(err, nats.ErrConnectionClosed):
		return aegis.Errorf(aegis.CodeCanceled, "the events of %s: %w", m.FullName(), aegis.ErrConnClosed)
	case errors.Is(err, nats.ErrSlowConsumer):
		return aegis.Errorf(aegis.CodeDataLoss, "events of %s came faster than they were read, and some were dropped: %w", m.FullName(), err)
	default:
		return aegis.Errorf(codeOf(err), "the events of %s: %w", m.FullName(), err)
	}
}
