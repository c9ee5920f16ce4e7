package handling

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/runtime/internal/denials"
	"github.com/aegisrpc/aegis/runtime/internal/parts"
)

// HearAgain is how long after a refusal a subscription is tried anew: NATS tells nobody that
// it would allow it by now, and each refusal is an error in its log.
const HearAgain = 30 * time.Second

// hearAgain is HearAgain, but in tests.
var hearAgain = HearAgain

// SetHearAgain puts another duration in the place of HearAgain. It is for tests, before any
// server is made.
func SetHearAgain(d time.Duration) { hearAgain = d }

// Hearing notices that NATS refuses subscriptions of a server that serves: permissions
// change under a connection, and nats.go keeps a subscription through which no message
// comes any more. The part of the server fails that needs the subscription, until NATS has
// accepted it: after a reconnect, or when it is tried anew. It is safe for concurrent use.
type Hearing struct {
	o    HearingOptions
	stop func()

	mu    sync.Mutex // guards the fields below
	ears  map[string]*ear
	tries sync.WaitGroup
	over  bool // no try begins any more
}

// HearingOptions are those of NewHearing.
type HearingOptions struct {
	NATS    *nats.Conn
	Denials *denials.Denials
	Parts   *parts.Set
	Logger  func() *slog.Logger
	// Flush waits until NATS has read what was sent.
	Flush func(context.Context) error
}

// ear is a subject that a server listens to.
type ear struct {
	part  *parts.Part
	renew func() error // subscribes anew, and gives the old subscription up

	refused    uint64 // counts the refusals
	deaf       bool   // the last refusal is not over
	reconnects uint64 // of the connection then
	next       time.Time
	trying     bool
}

// NewHearing begins to notice refusals. Close follows.
func NewHearing(o HearingOptions) *Hearing {
	h := &Hearing{o: o, ears: make(map[string]*ear)}
	h.stop = o.Denials.Watch(func(d *denials.Denial) bool { return d.Subscribe && h.knows(d.Subject) }, h.refuse)
	return h
}

// Add says which part needs a subject. Renew subscribes anew; where it is nil, only another
// connection brings the subscription back.
func (h *Hearing) Add(subject, part string, renew func() error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ears[subject] = &ear{part: h.o.Parts.Shared(part, h.o.Logger), renew: renew}
}

func (h *Hearing) knows(subject string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ears[subject] != nil
}

// refuse takes a refusal by NATS.
func (h *Hearing) refuse(d *denials.Denial) {
	h.mu.Lock()
	e := h.ears[d.Subject]
	e.refused++
	e.deaf, e.reconnects, e.next = true, h.o.NATS.Stats().Reconnects, time.Now().Add(hearAgain)
	h.mu.Unlock()
	e.part.Fails(fmt.Errorf("NATS does not allow this user to subscribe to %s, see docs/protocol.md: %w", d.Subject, d.Err))
}

// Tick tries what is due, in goroutines of its own. It is called about once a second.
func (h *Hearing) Tick(ctx context.Context, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range h.ears {
		if !e.deaf || e.trying || h.over || !h.o.NATS.IsConnected() {
			continue
		}
		again := h.o.NATS.Stats().Reconnects != e.reconnects // nats.go has subscribed anew
		if again || now.After(e.next) && e.renew != nil {
			e.trying = true
			h.tries.Go(func() { h.try(ctx, e, again) })
		}
	}
}

// try finds out whether NATS accepts a subscription by now; subscribed says that nats.go has
// asked it already.
func (h *Hearing) try(ctx context.Context, e *ear, subscribed bool) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	h.mu.Lock()
	refused, reconnects := e.refused, h.o.NATS.Stats().Reconnects
	h.mu.Unlock()
	var err error
	if !subscribed {
		err = e.renew()
	}
	if err == nil {
		err = h.o.Flush(ctx)
	}
	h.o.Denials.Settle(ctx)
	h.mu.Lock()
	e.trying, e.next = false, time.Now().Add(hearAgain)
	accepted := err == nil && e.refused == refused
	if accepted {
		e.deaf = false
	} else if subscribed && err == nil {
		e.reconnects = reconnects
	}
	h.mu.Unlock()
	if accepted {
		e.part.Works()
	}
}

// Close ends all tries.
func (h *Hearing) Close() {
	h.stop()
	h.mu.Lock()
	h.over = true
	h.mu.Unlock()
	h.tries.Wait()
}
