package aegis

import (
	"context"
	"errors"
	"time"

	"github.com/aegisrpc/aegis/runtime/internal/handling"
)

// drain stops the server within the grace period: it takes nothing new, and finishes
// what runs. Each step relies on those before it.
func (s *Server) drain() error {
	defer s.cancelBase()
	grace := handling.NewGrace(s.cfg.grace, s.logger, s.expire)
	defer grace.End()
	s.letCallersKnow(grace.Context) // before any step, as an instance that stops serves as before
	// 1. Give up the leaderships: no handler of a term starts any more. The subscriptions
	// of the terms are drained with all others.
	for _, l := range s.leaderships {
		s.calls.Adopt(l.Resign())
	}
	// 2. Take no more events and commands: their handlers count in steps 6 and 9.
	s.stopWork(grace.Context)
	// 3. Take no more calls. After this nothing is queued any more.
	s.calls.Drain(grace.Context, s.conn.ctx.Done())
	// 4. Let the workers serve the calls that are queued. This closes the queue, and a
	// message that is queued after that would be a panic.
	calls := s.pool.Close()
	// 5. Take no more streams, and end those of the leaders: a stream may last for any
	// time, and the next leader waits.
	s.endLeadersStreams()
	// 6. Wait for the calls, and for all that runs in the name of a leader.
	err := grace.Wait(calls, s.streams.Led(), s.workDone(true))
	// 7. Release the leaderships, as nothing of a term runs any more: others lead from
	// now on. All that needs no leader comes after this, however long it takes.
	s.release()
	// 8. Let the other streams end by themselves for a while, then end them. They come
	// after the calls, as the reply of a call may become a stream.
	s.stopStreams(grace.Context)
	// 9. Wait for those, and for the handlers of events and commands that need no leader.
	err = errors.Join(err, grace.Wait(s.streams.Idle(), s.workDone(false)))
	// 10. Give back the messages whose handlers have not finished.
	s.endWork()
	// 11. Leave the registry. Until now the instance was seen as stopping, and those who
	// wait for a reply took it for alive.
	s.deregister()
	// 12. Hear no more of streams and cancels, as there is nothing left to end.
	s.silenceStreams()
	for _, sub := range s.cancels {
		_ = sub.Unsubscribe() // fails only if it is gone already
	}
	// 13. See the last replies off.
	s.flushReplies()
	return err
}

// farewell is how long a stopping server of a cluster of NATS servers goes on as before.
const farewell = 100 * time.Millisecond

// letCallersKnow waits, in a cluster of NATS servers, until the callers have most likely heard
// that this instance stops. A NATS server that still counts on a subscription which has just
// ended elsewhere sends a request there, where it is dropped: the caller is not told that
// nobody listens, as it is within one server, and the outcome of the call is unknown.
func (s *Server) letCallersKnow(ctx context.Context) {
	if s.registrar == nil || !s.conn.nc.IsConnected() || s.conn.nc.ConnectedClusterName() == "" {
		return
	}
	timer := time.NewTimer(farewell)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	case <-s.conn.ctx.Done():
	}
}

// expire ends the contexts of all handlers, as the grace period is over, and counts the
// handlers by their methods. Requests that are still queued are refused.
func (s *Server) expire() map[string]int {
	s.expired.Store(true)
	handlers := make(map[string]int)
	s.pool.Each(func(c *handling.Context) {
		handlers[c.Method]++
		c.End()
	})
	for _, st := range s.streams.Open() {
		handlers[st.Name]++
	}
	for _, w := range s.work {
		w.running(handlers)
	}
	s.cancelBase()
	return handlers
}

// releaseTime bounds how long a stopping server tries to release its leaderships, and
// to leave the registry, when its grace period leaves it less.
const releaseTime = time.Second

// release releases the leaderships, so that others need not wait for the end of a lease.
func (s *Server) release() {
	if s.elector == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), releaseTime)
	defer cancel()
	if s.elector.Started() {
		for _, l := range s.leaderships {
			l.Release(ctx)
		}
	}
	s.elector.Stop()
}

// flushReplies waits until NATS has read the last replies. A connection that hangs must
// not hold up the stop for long.
func (s *Server) flushReplies() {
	if !s.conn.nc.IsConnected() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), max(time.Second, s.cfg.grace/10))
	defer cancel()
	if err := s.conn.flush(ctx); err != nil && !s.conn.closed() {
		s.logger.Warn("aegis: the last replies may be lost", "err", err)
	}
}
