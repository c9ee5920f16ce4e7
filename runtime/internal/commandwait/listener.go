// Package commandwait lets callers wait for commands, watch them and cancel them. A
// waiter hears at once of each message about its command that a worker publishes. Such
// a message may be lost, so the waiter also reads from time to time what is stored of
// the command.
package commandwait

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"strconv"
	"sync"
	"sync/atomic"
	"weak"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/commandstore"
	"github.com/aegisrpc/aegis/runtime/internal/status"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

// Options are those of NewListener.
type Options struct {
	Results *commandstore.Results
	// Start runs a goroutine for as long as the connection lives, and reports whether it
	// still does; Done is closed with the connection.
	Start func(func(ctx context.Context)) bool
	Done  <-chan struct{}
	// Flush waits until NATS has read everything that was sent so far.
	Flush func(ctx context.Context) error
}

// Listener hears, over one subscription, the messages about all commands of one service
// that a connection has sent. It is safe for concurrent use.
type Listener struct {
	Options

	owner string        // what the ids of the commands begin with that have no key
	last  atomic.Uint64 // the number of the last one

	mu      sync.Mutex                     // guards what follows
	sub     *nats.Subscription             // nil before the first command
	watches map[string]weak.Pointer[watch] // of commands that have not ended, by id
	sweepAt int                            // how many of them make a sweep worth its while
}

// NewListener makes a listener.
func NewListener(o Options) *Listener {
	return &Listener{Options: o, owner: rand.Text(), watches: make(map[string]weak.Pointer[watch])}
}

// NewID returns an id that no other command has.
func (l *Listener) NewID() string { return l.owner + "." + strconv.FormatUint(l.last.Add(1), 36) }

// Expect begins to hear the messages about a command that is about to be sent. Its id is
// one that NewID has made. The listener forgets the command when it has ended, or when
// the program has dropped its handle.
func (l *Listener) Expect(c *Command) *status.Status {
	r := l.Results
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sub == nil {
		sub, err := r.Bus.NATS.Subscribe(r.Subjects.Told(r.Service, l.owner+".*", "*"), l.heard)
		if err != nil {
			return unsubscribed(err)
		}
		if !l.Start(func(ctx context.Context) { <-ctx.Done(); _ = sub.Unsubscribe() }) {
			_ = sub.Unsubscribe() // the connection is closed
			return bus.Closed()
		}
		l.sub = sub
	}
	c.returns.Store(r.Bus.Link.Returns())
	l.watches[c.id] = weak.Make(c.watch)
	if len(l.watches) >= l.sweepAt {
		l.sweep()
	}
	c.live = true
	return nil
}

func unsubscribed(err error) *status.Status {
	return stores.StatusOf(fmt.Errorf("cannot subscribe to results: %w", err))
}

// sweep takes away the watches whose commands nobody has any more. That is done each
// time that there are twice as many as the last sweep has left. l.mu is held.
func (l *Listener) sweep() {
	maps.DeleteFunc(l.watches, func(_ string, w weak.Pointer[watch]) bool { return w.Value() == nil })
	l.sweepAt = max(2*len(l.watches), leastSwept)
}

const leastSwept = 256

// heard passes a message on to the watch of its command.
func (l *Listener) heard(msg *nats.Msg) {
	id, ok := wire.ParseCommandID(msg.Subject, 1)
	if !ok {
		return
	}
	l.mu.Lock()
	w := l.watches[id].Value()
	l.mu.Unlock()
	if w == nil {
		return
	}
	w.heard(msg)
	if w.outcome() != nil {
		l.mu.Lock()
		delete(l.watches, id)
		l.mu.Unlock()
	}
}

// closed reports whether the connection is closed.
func (l *Listener) closed() bool {
	select {
	case <-l.Done:
		return true
	default:
		return l.Results.Bus.NATS.IsClosed()
	}
}
