package leader

import (
	"context"
	"slices"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/election"
	"github.com/aegisrpc/aegis/runtime/internal/bus"
)

const (
	// answersWithin is how long a leader that is to hand over waits for the answer of a
	// candidate that could follow.
	answersWithin = time.Second
	// abandonAfter is how long handlers get to return once their contexts have ended.
	abandonAfter = time.Second
	// successorLook is how often a leader that has handed over looks who follows.
	successorLook = 5 * time.Millisecond
	// routesStay is how long the requests that came before a term was handed over find
	// that this process leads no more: until then some are still in the server's queue.
	routesStay = time.Second
)

// takeAsked handles a message of the kind wire.KindAsk.
func (g *Group) takeAsked(msg *nats.Msg) bool {
	e := g.elector
	switch msg.Subject {
	case e.subjects.AskAll(g.service, g.group):
		g.answerCandidacy(msg)
	case e.subjects.AskLeader(g.service, g.group):
		if l := g.leadership; l != nil && msg.Reply != "" {
			if t := l.current.Load(); t != nil && t.served.Load() {
				e.tasks.Go(func() { l.answerHandOver(t, msg) })
			}
		}
	default:
		return false
	}
	return true
}

// answerCandidacy says who this candidate is, and holds it back if another one is to lead
// next. It is called within the elector's loop.
func (g *Group) answerCandidacy(msg *nats.Msg) {
	e := g.elector
	heir, ok := wire.DecodeHeir(msg.Data)
	if !ok {
		return
	}
	if heir.Term != 0 && heir.Process != "" && heir.Process != e.id {
		g.candidate.HoldBack(e.clock.Now(), election.Term(heir.Term))
	}
	if msg.Reply == "" {
		return
	}
	c := wire.Candidacy{Instance: e.instance, Process: e.id, Stands: g.candidate.MayFollow(e.clock.Now())}
	if lease := g.candidate.Lease(); lease != nil {
		c.Term = uint64(lease.Term())
	}
	_ = e.nc.Publish(msg.Reply, c.Encode())
}

// answerHandOver hands a term over, and answers when another candidate leads, or why it
// does not.
func (l *Leadership) answerHandOver(t *Term, msg *nats.Msg) {
	answer := wire.HandedOver{Term: t.Token, Instance: l.elector.instance}
	request, ok := wire.DecodeHandOver(msg.Data)
	switch {
	case !ok:
		answer.Refused = wire.RefusedMalformed
	case !l.handing.CompareAndSwap(false, true):
		answer.Refused = wire.RefusedBusy
	default:
		l.handOver(t, request, &answer)
		l.handing.Store(false)
	}
	_ = l.elector.nc.Publish(msg.Reply, answer.Encode())
}

// handOver hands a term over, and completes the answer.
func (l *Leadership) handOver(t *Term, request wire.HandOver, answer *wire.HandedOver) {
	ctx := l.elector.ctx
	var heir string
	if heir, answer.Refused = l.chooseHeir(ctx, request, answer); answer.Refused != "" {
		return
	}
	t.logger.Info("aegis: asked to hand the leadership over", "to", request.To, "force", request.Force)
	if !l.candidate.handOver(ctx, t) {
		answer.Refused = wire.RefusedOver
		return
	}
	l.drain(ctx, t)
	if heir != "" {
		// The message overtakes the record on its way to the others; should one of them
		// miss it, that one may lead in place of the heir, and the answer says so.
		body := wire.Heir{Term: t.Token, Process: heir}
		_ = l.elector.nc.Publish(l.elector.subjects.AskAll(l.Service, l.Group), body.Encode())
	}
	l.candidate.handedOver(ctx, t)
	answer.Next = l.successor(ctx, t)
	if answer.Next.Term == 0 && ctx.Err() != nil {
		answer.Refused = wire.RefusedOver // the server stops, and gives the term up in any case
	}
}

// chooseHeir finds out who else stands. It returns the process that is to lead next, ""
// for anybody, or why nobody can.
func (l *Leadership) chooseHeir(ctx context.Context, request wire.HandOver, answer *wire.HandedOver) (heir, refused string) {
	if request.To == l.elector.instance {
		return "", wire.RefusedSelf
	}
	for c := range l.elector.candidates(ctx, l.Service, l.Group) {
		if c.Process == l.elector.id || !c.Stands {
			continue
		}
		if request.To == "" {
			return "", ""
		}
		if c.Instance == request.To {
			return c.Process, ""
		}
		if !slices.Contains(answer.Standing, c.Instance) {
			answer.Standing = append(answer.Standing, c.Instance)
		}
	}
	switch {
	case request.To != "":
		return "", wire.RefusedUnknown
	case !request.Force:
		return "", wire.RefusedAlone
	}
	return "", ""
}

// candidates asks all candidates of a group who they are, and yields the answers that come
// in time.
func (e *Elector) candidates(ctx context.Context, service, group string) func(yield func(wire.Candidacy) bool) {
	return func(yield func(wire.Candidacy) bool) {
		inbox := e.nc.NewInbox()
		sub, err := e.nc.SubscribeSync(inbox)
		if err != nil {
			return
		}
		defer func() { _ = sub.Unsubscribe() }() // fails only if it is gone already
		if e.nc.PublishRequest(e.subjects.AskAll(service, group), inbox, wire.Heir{}.Encode()) != nil {
			return
		}
		ctx, cancel := context.WithTimeout(ctx, answersWithin)
		defer cancel()
		for {
			msg, err := sub.NextMsgWithContext(ctx)
			if err != nil {
				return
			}
			if c, ok := wire.DecodeCandidacy(msg.Data); ok && !yield(c) {
				return
			}
		}
	}
}

// drain follows when no handler of the term begins any more. It leaves the term's subjects
// and waits for what runs, for as long as the server would wait when it stops.
func (l *Leadership) drain(ctx context.Context, t *Term) {
	l.mu.Lock()
	for _, sub := range t.subs {
		_ = sub.Drain() // fails only if it is gone already
	}
	l.mu.Unlock()
	idle := t.wind()
	limit := time.NewTimer(l.duty.Grace)
	defer limit.Stop()
	select {
	case <-idle:
		return
	case <-t.Base.Done(): // the lease is lost
		return
	case <-ctx.Done():
		return
	case <-limit.C:
	}
	t.logger.Warn("aegis: the grace period is over, and handlers of the term that is handed over still run; their contexts are ended", "grace", l.duty.Grace)
	t.endBase()
	limit.Reset(abandonAfter)
	select {
	case <-idle:
	case <-ctx.Done():
	case <-limit.C:
	}
}

// successor waits for the next leader, for as long as it takes if the first one to try is
// lost.
func (l *Leadership) successor(ctx context.Context, t *Term) wire.Leader {
	deadline := time.Now().Add(2 * l.candidate.candidate.Patience())
	for {
		if next := l.candidate.known(ctx); next.Term > t.Token || time.Now().After(deadline) || !bus.Wait(ctx, successorLook) {
			if next.Term > t.Token {
				return next
			}
			return wire.Leader{}
		}
	}
}

// handOver has the candidate let no handler of the term begin any more, and reports
// whether the term can be handed over.
func (g *Group) handOver(ctx context.Context, t *Term) bool {
	return within(ctx, g.elector, func(now election.Instant) bool { return g.candidate.HandOver(now, t.Lease.Term()) })
}

// handedOver has the candidate release the term.
func (g *Group) handedOver(ctx context.Context, t *Term) {
	within(ctx, g.elector, func(now election.Instant) bool {
		g.candidate.HandedOver(now, t.Lease.Term())
		return true
	})
}

// known returns the leader that the candidate knows of.
func (g *Group) known(ctx context.Context) wire.Leader {
	return within(ctx, g.elector, func(election.Instant) wire.Leader { return g.leader() })
}

// within runs f within the elector's loop and returns its result; if ctx ends before, the
// zero value, and f may run later.
func within[T any](ctx context.Context, e *Elector, f func(election.Instant) T) T {
	result := make(chan T, 1)
	e.post(func(now election.Instant) { result <- f(now) })
	select {
	case r := <-result:
		return r
	case <-ctx.Done():
		var none T
		return none
	}
}
