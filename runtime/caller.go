package aegis

import (
	"context"
	"sync"
	"time"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/status"
)

const (
	askAfter    = time.Second
	askTimeout  = time.Second
	askInterval = 10 // ticks
)

// askCallers finds out whether the callers of handlers that have run for more
// than a second are still there. It is called once a second and asks each
// caller once, however many calls of its run. If NATS says that nobody listens,
// the caller's connection is gone, and the contexts of its calls end.
func (s *Server) askCallers(now time.Time) {
	var callers map[string][]*handlerContext
	s.pool.each(func(c *handlerContext) {
		if now.Sub(c.arrived) < askAfter {
			return
		}
		if alive := wire.CallerAlive(c.reply); alive != "" {
			if callers == nil {
				callers = make(map[string][]*handlerContext)
			}
			callers[alive] = append(callers[alive], c)
		}
	})
	if callers == nil || !s.probing.CompareAndSwap(false, true) {
		return
	}
	s.asking.Go(func() {
		defer s.probing.Store(false)
		var asking sync.WaitGroup
		for alive, calls := range callers {
			asking.Go(func() { s.askCaller(alive, calls) })
		}
		asking.Wait()
	})
}

func (s *Server) askCaller(alive string, calls []*handlerContext) {
	ctx, cancel := context.WithTimeout(s.base, askTimeout)
	defer cancel()
	why := s.conn.bus.Exchange(ctx, alive, time.Now().Add(askTimeout))
	if why != nil && why.Reason == status.ReasonNoResponders {
		for _, c := range calls {
			c.end()
		}
	}
}
