package descserve

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/denials"
)

// Listening is how a responder hears of requests.
type Listening struct {
	NATS      *nats.Conn
	Denials   *denials.Denials
	Subscribe func(subject, queue string) (*nats.Subscription, error)
	// ByHash: only requests that name a hash are heard, not those for any version.
	ByHash bool
	Logger *slog.Logger
}

// Listen subscribes to the requests for the sets of the responder. The function that it
// returns is called after a flush: it takes note of what NATS has refused. A server that may
// not subscribe there serves calls all the same.
func (r *Responder) Listen(l *Listening) (settle func(context.Context), err error) {
	var refused refusals
	concerns := func(d *denials.Denial) bool { return d.Subscribe && r.Serves(d.Subject) }
	stop := l.Denials.Watch(concerns, func(d *denials.Denial) { refused.add(d.Subject) })
	subs := make(map[string]*nats.Subscription)
	for _, subject := range r.subjectsOfSets() {
		if l.ByHash && !r.ofHash(subject) {
			continue
		}
		if subs[subject], err = l.Subscribe(subject, wire.Queue); err != nil {
			stop()
			return nil, fmt.Errorf("aegis: subscribe: %w", err)
		}
	}
	return func(ctx context.Context) {
		l.Denials.Settle(ctx)
		stop()
		// Nobody hears the errors of a connection that the program has made itself.
		if last := denials.Parse(l.NATS.LastError()); last != nil && concerns(last) {
			refused.add(last.Subject)
		}
		subjects := refused.list()
		for _, subject := range subjects {
			_ = subs[subject].Unsubscribe() // else nats.go would ask for it again after each reconnect
		}
		if len(subjects) > 0 {
			l.Logger.Warn("aegis: this user may not subscribe to requests for descriptors, and tools without generated code may not know the services; "+
				"see the least permissions in docs/protocol.md", "subjects", strings.Join(subjects, " "))
		}
	}, nil
}

// refusals are the subjects that NATS lets this user not subscribe to. It is safe for
// concurrent use.
type refusals struct {
	mu       sync.Mutex // guards subjects
	subjects []string
}

func (r *refusals) add(subject string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Contains(r.subjects, subject) {
		r.subjects = append(r.subjects, subject)
	}
}

func (r *refusals) list() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.subjects)
}
