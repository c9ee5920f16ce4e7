package commandwait

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/status"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

// Command is one command, whoever has sent it. It is safe for concurrent use, and needs
// no closing.
type Command struct {
	listener *Listener
	method   string // its bare name
	id       string
	watch    *watch
	live     bool // the listener hears the messages about it
	// returns is the link's count of returns up to which all messages about the command
	// were heard or read.
	returns atomic.Uint64
}

// Command returns the command of a method that has an id.
func (l *Listener) Command(method, id string) *Command {
	return &Command{listener: l, method: method, id: id, watch: newWatch()}
}

// ID returns the id of the command.
func (c *Command) ID() string { return c.id }

// lookTickers are those of waiters: hardly a waiter waits until its ticker ticks.
var lookTickers = sync.Pool{New: func() any { return time.NewTicker(tickInterval) }}

// Follow calls each with the news of the command, now and whenever there are others,
// until each returns true. It returns a status if ctx ends first, if the connection is
// closed, and if there is no such command, or none any more.
func (c *Command) Follow(ctx context.Context, each func(News) (enough bool)) *status.Status {
	if ctx.Err() != nil {
		return status.Of(ctx.Err())
	}
	if news, _ := c.watch.latest(); news.Outcome != nil && each(news) {
		return nil
	}
	if !c.live {
		stop, why := c.listen(ctx)
		if why != nil {
			return why
		}
		defer stop()
	}
	link := c.listener.Results.Bus.Link
	looks := newLooks(ctx, c)
	ticker, _ := lookTickers.Get().(*time.Ticker)
	ticker.Reset(tickInterval)
	defer func() { ticker.Stop(); lookTickers.Put(ticker) }()
	for {
		state := link.State()
		if why := looks.round(ctx); why != nil {
			return why
		}
		news, changed := c.watch.latest()
		if each(news) {
			return nil
		}
		select {
		case <-changed:
		case <-state.Changed():
		case <-ctx.Done():
			return looks.unended(ctx)
		case <-c.listener.Done:
			return bus.Closed()
		case <-ticker.C:
		}
	}
}

// listen hears the messages about a command that the listener does not hear, as another
// process has sent it or its id is that of a key, until stop is called.
func (c *Command) listen(ctx context.Context) (stop func(), why *status.Status) {
	r := c.listener.Results
	c.returns.Store(r.Bus.Link.Returns())
	sub, err := r.Bus.NATS.Subscribe(r.Subjects.Told(r.Service, c.id, "*"), c.watch.heard)
	if err != nil {
		return nil, unsubscribed(err)
	}
	stop = func() { _ = sub.Unsubscribe() } // fails only if the subscription is gone already
	// From now on all that is stored is heard; all that was stored before is read.
	if err := c.listener.Flush(ctx); c.listener.closed() {
		stop()
		return nil, bus.Closed()
	} else if err != nil {
		stop()
		return nil, status.Of(err)
	}
	return stop, nil
}

// missed reports whether messages about the command may have been missed because the
// connection was down.
func (c *Command) missed() bool {
	state := c.listener.Results.Bus.Link.State()
	return state.Up && state.Returns != c.returns.Load()
}

// read reads the progress and the outcome of the command after an outage. If that fails,
// the command stays missed, and the next round reads again.
func (c *Command) read(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, stores.DefaultTimeout)
	defer cancel()
	returns := c.listener.Results.Bus.Link.Returns()
	for _, kind := range []string{wire.ResultProgress, wire.ResultResult} {
		msg, why := c.stored(ctx, kind)
		if why != nil {
			return
		}
		if msg != nil {
			c.watch.heard(&msg.Msg)
		}
	}
	c.returns.Store(returns)
}

// stored returns the last message about the command of a kind such as
// wire.ResultResult; nil if there is none.
func (c *Command) stored(ctx context.Context, kind string) (*stores.Stored, *status.Status) {
	return c.listener.Results.Last(ctx, c.id, kind)
}
