// Package commandwork works the commands of a server: it takes them from their queue,
// has their handlers run, one attempt after another, and stores how they have ended.
package commandwork

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/commandstore"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

// Cancels knows which commands of a service are canceled, and ends the contexts of their
// handlers. It hears of each cancel from the process that has stored it. Should such a
// message be lost, it also reads all stored cancels: when the server starts, when the
// connection has been away, and every minute. It is safe for concurrent use.
type Cancels struct {
	results *commandstore.Results
	cause   error // of the contexts that a cancel ends

	started sync.Once
	failure error // of the start
	sub     *nats.Subscription
	halt    context.CancelFunc // ends follow
	follows sync.WaitGroup

	mu       sync.Mutex                // guards what follows
	canceled map[string]cancel         // by the command's id
	running  map[string]runningHandler // likewise
}

// cancel is a stored cancel of one command. Earlier and later commands with the same id
// are not canceled by it.
type cancel struct {
	send     string // the command's wire.HeaderSend
	sequence uint64 // the cancel's own
}

// runningHandler is a handler that a cancel of its command ends.
type runningHandler struct {
	send string // the command's wire.HeaderSend
	end  context.CancelCauseFunc
}

const (
	// readInterval is how often all stored cancels are read.
	readInterval = time.Minute
	// readRetryInterval is how soon they are read again after a failure, and readTimeout
	// how long that may take: each stored cancel is read by itself.
	readRetryInterval = 2 * time.Second
	readTimeout       = 30 * time.Second
)

// NewCancels makes the Cancels of the service that the results are of. cause becomes the
// cause of the contexts that a cancel ends.
func NewCancels(results *commandstore.Results, cause error) *Cancels {
	return &Cancels{results: results, cause: cause, canceled: make(map[string]cancel), running: make(map[string]runningHandler)}
}

// Start subscribes to the cancels and reads the stored ones; if that takes too long, they
// are read later. Each worker of the service calls Start before it takes commands; only
// the first call does something, and all return its error. Stop follows.
func (c *Cancels) Start(ctx context.Context) error {
	c.started.Do(func() { c.failure = c.start(ctx) })
	return c.failure
}

func (c *Cancels) start(ctx context.Context) error {
	r := c.results
	subject := r.Subjects.Told(r.Service, "*.*", wire.ResultStop)
	var err error
	c.sub, err = r.Bus.NATS.Subscribe(subject, c.told)
	if err != nil {
		return fmt.Errorf("aegis: subscribe to %s: %w", subject, err)
	}
	returns := r.Bus.Link.Returns()
	limited, cancel := context.WithTimeout(ctx, stores.DefaultTimeout)
	defer cancel()
	known := c.read(limited) == nil
	life, halt := context.WithCancel(context.Background())
	c.halt = halt
	c.follows.Go(func() { c.follow(life, returns, known) })
	return nil
}

// Stop hears of no more cancels.
func (c *Cancels) Stop() {
	if c.halt != nil {
		c.halt()
		c.follows.Wait()
		_ = c.sub.Unsubscribe() // fails only if it is gone already
	}
}

// follow reads the stored cancels again when some may have been missed.
func (c *Cancels) follow(ctx context.Context, returns uint64, known bool) {
	link := c.results.Bus.Link
	timer := time.NewTimer(readPause(known))
	defer timer.Stop()
	for {
		state := link.State()
		if state.Returns == returns {
			select {
			case <-state.Changed():
				continue
			case <-timer.C:
			case <-ctx.Done():
				return
			}
		}
		limited, cancel := context.WithTimeout(ctx, readTimeout)
		returns, known = state.Returns, c.read(limited) == nil
		cancel()
		timer.Reset(readPause(known))
	}
}

func readPause(known bool) time.Duration {
	if known {
		return readInterval
	}
	return readRetryInterval
}

// read reads all stored cancels. Without a stream of results there are none.
func (c *Cancels) read(ctx context.Context) error {
	r, name := c.results, c.results.Stream.Want.Name
	stream, err := r.Stores.Find(ctx, name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	last := stream.CachedInfo().State.LastSeq
	asking, why := r.Stores.Allowed(ctx, "STREAM.INFO."+name)
	info, err := stream.Info(asking, jetstream.WithSubjectFilter(r.Subjects.Stops(r.Service)))
	if err = why(err); err != nil {
		return err
	}
	found := make(map[string]cancel, len(info.State.Subjects))
	for subject := range info.State.Subjects {
		msg, unread := r.Stores.Last(ctx, name, subject)
		if unread != nil {
			return errors.New(unread.Text())
		}
		id, ok := wire.ParseCommandID(subject, 1)
		if ok && msg != nil && string(msg.Data) != wire.StopOver {
			found[id] = cancel{string(msg.Data), msg.Sequence}
		}
	}
	c.replace(found, last)
	return nil
}

// replace takes the cancels that were found for all that there are up to a sequence.
func (c *Cancels) replace(found map[string]cancel, last uint64) {
	c.mu.Lock()
	for id, known := range c.canceled {
		if _, ok := found[id]; !ok && known.sequence <= last {
			delete(c.canceled, id)
		}
	}
	c.mu.Unlock()
	for id, one := range found {
		c.add(id, one)
	}
}

// told hears that a cancel is stored, or that one was taken back.
func (c *Cancels) told(msg *nats.Msg) {
	id, ok := wire.ParseCommandID(msg.Subject, 1)
	sequence, err := strconv.ParseUint(msg.Header.Get(wire.HeaderSequence), 10, 64)
	if !ok || err != nil {
		return // it was not published by a process that has stored it
	}
	if string(msg.Data) == wire.StopOver {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.canceled[id].sequence < sequence {
			delete(c.canceled, id)
		}
		return
	}
	c.add(id, cancel{string(msg.Data), sequence})
}

// add notes a cancel, unless a later one is known, and ends the handler of its command.
func (c *Cancels) add(id string, one cancel) {
	c.mu.Lock()
	if c.canceled[id].sequence > one.sequence {
		c.mu.Unlock()
		return
	}
	c.canceled[id] = one
	handler, runs := c.running[id]
	c.mu.Unlock()
	if runs && handler.send == one.send {
		handler.end(c.cause)
	}
}

// Of returns the sequence of the cancel of a command, and whether it has one.
func (c *Cancels) Of(id, send string) (sequence uint64, canceled bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	one, ok := c.canceled[id]
	return one.sequence, ok && one.send == send
}

// Begin notes how to end the context of a handler that begins to work a command. End
// follows.
func (c *Cancels) Begin(id, send string, end context.CancelCauseFunc) {
	c.mu.Lock()
	c.running[id] = runningHandler{send, end}
	one, canceled := c.canceled[id]
	c.mu.Unlock()
	if canceled && one.send == send { // after the worker has asked Of
		end(c.cause)
	}
}

// End says that the handler has ended.
func (c *Cancels) End(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.running, id)
}
