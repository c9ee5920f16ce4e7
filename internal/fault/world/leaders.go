//go:build linux

package world

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/aegisrpc/aegis/internal/fault/roles"
	"github.com/aegisrpc/aegis/internal/fault/wait"
	"github.com/aegisrpc/aegis/runtime/election"
)

// LeaderStream is the KV bucket of the leader records.
const LeaderStream = "KV_aegis-leaders"

// LeaderWithin bounds every failover; three-node stores take seconds.
const LeaderWithin = 60 * time.Second

// Record reads the last leader record from the store.
func (w *World) Record(ctx context.Context) (election.Record, error) {
	msg, err := w.lastRecord(ctx)
	if err != nil {
		return election.Record{}, err
	}
	return election.DecodeRecord(msg.Data)
}

// Revision returns the revision of the last leader record.
func (w *World) Revision(ctx context.Context) (uint64, error) {
	msg, err := w.lastRecord(ctx)
	if err != nil {
		return 0, err
	}
	return msg.Sequence, nil
}

func (w *World) lastRecord(ctx context.Context) (*jetstream.RawStreamMsg, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	stream, err := w.JS.Stream(ctx, LeaderStream)
	if err != nil {
		return nil, err
	}
	return stream.GetLastMsgForSubject(ctx, "$KV.aegis-leaders.>")
}

// leader returns the candidate that leads a term, nil if the candidate is not known.
func (w *World) leader(term uint64) *Candidate {
	w.said.mu.Lock()
	defer w.said.mu.Unlock()
	for _, c := range w.Candidates {
		if w.said.leading[term] == c.Process && c.Alive() {
			return c
		}
	}
	return nil
}

// Settle waits until a leader is called and looked after: by the two probers that
// it names, where all are on one NATS server. Then it waits for a random time of up
// to two renewals, so that a fault meets them at any phase.
func (w *World) Settle(ctx context.Context) (leader *Candidate, term uint64, err error) {
	settled := func() bool {
		r, err := w.Record(ctx)
		if err != nil || r.Released {
			return false
		}
		if len(w.Servers) == 1 && w.Setup.Candidates > 1 && r.Probers[min(w.Setup.Candidates-1, election.MaxProbers)-1] == "" {
			return false
		}
		term = uint64(r.Term)
		leader = w.leader(term)
		w.said.mu.Lock()
		defer w.said.mu.Unlock()
		return leader != nil && w.said.replied[term] != 0
	}
	if err := wait.Until(ctx, "a settled leader", ReadyWithin, settled); err != nil {
		return nil, 0, err
	}
	if _, err := w.NextReply(ctx, ReadyWithin); err != nil {
		return nil, 0, err
	}
	w.closeWindow()
	wait.For(ctx, rand.N(w.Election.Lease/2))
	return leader, term, ctx.Err()
}

// AskNext asks the callers for their next accepted reply.
func (w *World) AskNext() error {
	w.said.mu.Lock()
	w.said.next = 0
	w.said.mu.Unlock()
	for _, c := range w.callers {
		if err := c.Tell(roles.CommandNext); err != nil {
			return err
		}
	}
	return nil
}

// AwaitNext returns when the reply came that AskNext has asked for.
func (w *World) AwaitNext(ctx context.Context, within time.Duration) (int64, error) {
	err := w.await(ctx, "the next reply", within, func() bool { return w.said.next != 0 })
	w.said.mu.Lock()
	defer w.said.mu.Unlock()
	return w.said.next, err
}

// NextReply returns when a call that begins from now on was accepted.
func (w *World) NextReply(ctx context.Context, within time.Duration) (int64, error) {
	if err := w.AskNext(); err != nil {
		return 0, err
	}
	return w.AwaitNext(ctx, within)
}

// NewLeader returns when the first reply of a later term came.
func (w *World) NewLeader(ctx context.Context, term uint64) (int64, error) {
	first := int64(0)
	err := w.await(ctx, "a reply of a new leader", LeaderWithin, func() bool {
		for t, at := range w.said.replied {
			if t > term && (first == 0 || at < first) {
				first = at
			}
		}
		return first != 0
	})
	return first, err
}
