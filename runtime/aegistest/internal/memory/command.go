package memory

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	"github.com/aegisrpc/aegis/internal/spec"
	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/commandstore"
	"github.com/aegisrpc/aegis/runtime/internal/commandwait"
	"github.com/aegisrpc/aegis/runtime/internal/inmemory"
	"github.com/aegisrpc/aegis/runtime/internal/metadata"
	"github.com/aegisrpc/aegis/runtime/internal/status"
)

// command is a command that was sent, and its handle. The mutex of the hub guards what is
// not said to be guarded otherwise.
type command struct {
	hub     *Hub
	message *Message
	level   string
	expiry  time.Time // zero for none

	due      time.Time // of the next attempt
	by       *server   // that works on it now; nil if none does
	attempt  int       // the number of the last one
	failed   int       // attempts that count
	canceled bool

	run attemptClock // of the attempt that runs

	mu      sync.Mutex // guards what follows
	news    commandwait.News
	changed chan struct{} // closed, and replaced, by news
}

// attemptClock is the clock of one attempt: a report begins its timeout anew.
type attemptClock struct {
	mu      sync.Mutex // guards what follows
	cancel  context.CancelCauseFunc
	timer   *time.Timer
	timeout time.Duration
	over    bool
}

var (
	errCanceled = errors.New("the command was canceled")
	canceled    = commandstore.Canceled
)

func newCommand(h *Hub, m *Message, s *inmemory.Sending) *command {
	return &command{hub: h, message: m, level: s.Level, due: s.NotBefore, expiry: s.Expiry, changed: make(chan struct{})}
}

func commandKey(service, method, id string) string { return service + " " + method + " " + id }

// newID returns the id of a command, which is that of the key if it has one. The caller
// holds the mutex.
func (h *Hub) newID(m *spec.Method, key string) string {
	if key != "" {
		return wire.KeyedCommandID(m.Name, key)
	}
	h.lastID++
	return "memory." + strconv.Itoa(h.lastID)
}

// Command returns the handle of a command by its id.
func (h *Hub) Command(m *spec.Method, service, id string) inmemory.CommandHandle {
	h.mu.Lock()
	defer h.mu.Unlock()
	if c := h.commands[commandKey(service, m.Name, id)]; c != nil {
		return c
	}
	return unknown{id, service + "." + m.Name}
}

// ID returns the id of the command.
func (c *command) ID() string { return c.message.ID }

// beginAttempt returns the context of a handler.
func (c *command) beginAttempt(base context.Context, timeout time.Duration) context.Context {
	ctx, cancel := context.WithCancelCause(base)
	c.run.mu.Lock()
	defer c.run.mu.Unlock()
	c.run.cancel, c.run.timeout, c.run.over = cancel, timeout, false
	c.run.timer = time.AfterFunc(timeout, func() {
		cancel(fmt.Errorf("the attempt took longer than %v without a report: %w", timeout, context.DeadlineExceeded))
	})
	return ctx
}

func (c *command) endAttempt() {
	c.run.mu.Lock()
	defer c.run.mu.Unlock()
	c.run.over = true
	c.run.timer.Stop()
	c.run.cancel(nil)
}

// report takes the progress of a handler.
func (c *command) report(ctx context.Context, percent float64, message string) *status.Status {
	c.run.mu.Lock()
	defer c.run.mu.Unlock()
	switch {
	case c.run.over:
		return status.New(status.FailedPrecondition, "the attempt is over")
	case ctx.Err() != nil:
		return status.Of(ctx.Err())
	}
	c.run.timer.Reset(c.run.timeout)
	c.tell(func(n *commandwait.News) {
		n.Reports++
		n.Progress = &commandwait.Progress{Percent: percent, Message: message}
	})
	return nil
}

// tell changes the news of the command.
func (c *command) tell(change func(*commandwait.News)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(&c.news)
	close(c.changed)
	c.changed = make(chan struct{})
}

// end gives the command its outcome, as a message that the handle reads like those of NATS.
func (c *command) end(state string, res proto.Message, header map[string][]string, why *status.Status) {
	c.tell(func(n *commandwait.News) { n.Outcome = outcome(state, c.attempt, res, header, why) })
}

// outcome returns the message that says how a command has ended.
func outcome(state string, attempt int, res proto.Message, header map[string][]string, why *status.Status) *nats.Msg {
	msg := &nats.Msg{Header: nats.Header{}}
	if why == nil {
		if why = metadata.Encode(header, msg.Header); why == nil {
			var err error
			if msg.Data, err = proto.Marshal(res); err != nil {
				why = status.Newf(status.Internal, "the result cannot be marshalled: %w", err)
			}
		}
		if why != nil {
			state = wire.StateFailed
		}
	}
	if why != nil {
		msg.Header = nats.Header{}
		msg.Data = why.Encode(msg.Header, false)
	}
	msg.Header.Set(wire.HeaderState, state)
	if attempt > 0 {
		msg.Header.Set(wire.HeaderAttempt, strconv.Itoa(attempt))
	}
	return msg
}

// Follow calls each with the news of the command until each returns true.
func (c *command) Follow(ctx context.Context, each func(commandwait.News) (enough bool)) *status.Status {
	for {
		c.mu.Lock()
		news, changed := c.news, c.changed
		c.mu.Unlock()
		if ctx.Err() != nil {
			return status.Of(ctx.Err())
		}
		if each(news) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			view, _ := c.View(context.WithoutCancel(ctx))
			return status.Because(ctx.Err(), status.Of(ctx.Err()).Code, "the command "+c.ID()+" has not ended: it is "+view.State.String())
		}
	}
}

// View returns what is known of the command now.
func (c *command) View(ctx context.Context) (*commandwait.View, *status.Status) {
	if ctx.Err() != nil {
		return nil, status.Of(ctx.Err())
	}
	h := c.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	v := &commandwait.View{Attempt: c.attempt, Progress: c.news.Progress, Outcome: c.news.Outcome, Canceling: c.canceled && c.news.Outcome == nil}
	switch {
	case v.Outcome != nil:
		v.State = stateOf(v.Outcome.Header.Get(wire.HeaderState))
	case c.attempt > 0:
		v.State = commandwait.Running
	case c.due.After(time.Now()):
		v.State = commandwait.Scheduled
	default:
		v.State = commandwait.Queued
	}
	return v, nil
}

func stateOf(name string) commandwait.State {
	for s := commandwait.Succeeded; s <= commandwait.Expired; s++ {
		if s.String() == name {
			return s
		}
	}
	return commandwait.Unknown
}

// Cancel ends the command if no attempt runs, else the context of its handler.
func (c *command) Cancel(ctx context.Context, _ string) *status.Status {
	view, why := c.View(ctx)
	switch {
	case why != nil:
		return why
	case view.State.Ended():
		return status.Newf(status.FailedPrecondition, "the command %s has ended already, as %s", c.ID(), view.State)
	}
	h := c.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	c.canceled = true
	if c.by == nil {
		h.endCommand(h.queueOf(c.message.Service, c.message.Method), c, wire.StateCanceled, nil, nil, canceled)
		h.wake()
		return nil
	}
	c.run.mu.Lock()
	defer c.run.mu.Unlock()
	c.run.cancel(errCanceled)
	return nil
}

// unknown is the handle of a command that is not there.
type unknown struct{ id, method string }

func (u unknown) ID() string { return u.id }

func (u unknown) notFound() *status.Status {
	return status.Newf(status.NotFound, "there is no command %s of %s, or its result is kept no longer", u.id, u.method)
}

func (u unknown) Follow(context.Context, func(commandwait.News) bool) *status.Status {
	return u.notFound()
}

func (u unknown) View(context.Context) (*commandwait.View, *status.Status) {
	return &commandwait.View{}, nil
}
func (u unknown) Cancel(context.Context, string) *status.Status { return u.notFound() }
