package aegis_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/wire"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
	"github.com/aegisrpc/aegis/runtime/election"
)

// selfMessages knows when a leader was last heard to send itself a message, and how long
// after the one before that.
type selfMessages struct {
	mu    sync.Mutex
	last  time.Time
	pause time.Duration
}

func (s *selfMessages) take(msg *nats.Msg) {
	if !strings.HasSuffix(msg.Subject, "."+wire.LiveSelf) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.last, s.pause = now, now.Sub(s.last)
}

// rests reports whether the leader sends few of them, and has no contact just now.
func (s *selfMessages) rests(window time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pause > window && s.pause < time.Minute && time.Since(s.last) > window+window/4
}

// A leader that nobody calls has no contact most of the time. The next call waits until it
// has, and is not refused, as whoever calls without a client would have to call again.
func TestLeaderThatRestsServesTheNextCall(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	const window = 200 * time.Millisecond
	c := standWith(t, n, &desk{name: "a"}, aegis.WithElection(election.Config{Lease: 2 * time.Second, Window: window}))
	nc := plain(t, n.Connect(t))
	var heard selfMessages
	_, err := nc.Subscribe("aegis.live.>", heard.take)
	require.NoError(t, err)
	eventually(t, "it leads", func() bool { return len(terms(c.srv)) == 1 })

	refused := 0 // by a machine that has no time for the leader's message to itself
	for served := false; !served; {
		eventually(t, "it rests", func() bool { return heard.rests(window) })
		ctx, cancel := context.WithTimeout(context.Background(), leaderDeadline)
		reply, err := nc.RequestWithContext(ctx, "aegis.lead.order.v1.OrderService.PlaceOrder.default.any", nil)
		cancel()
		require.NoError(t, err)
		if served = reply.Header.Get(wire.HeaderReason) == ""; !served {
			refused++
		}
		require.Less(t, refused, 3, "refused: %v", reply.Header)
	}
	require.EqualValues(t, 1, c.placed.Load())
}

func terms(srv *aegis.Server) (all []aegis.Term) {
	for term := range srv.Leading() {
		all = append(all, term)
	}
	return all
}
