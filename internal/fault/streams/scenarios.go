//go:build linux

package streams

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/aegisrpc/aegis/internal/lossy"
)

// scenario is one kind of fault. To add one, write what happens into faults.go, and
// a line into the table below.
type scenario struct {
	name, what string
	// fate is what happens to the messages of streams on their way to either end;
	// nil lets them pass.
	fate func(*lossy.Message) lossy.Fate
	// run has streams used, and things broken. What it returns is not finished.
	run func(context.Context, *pair) error
	// size is how many streams there are, or seconds, and short in the short form,
	// where 0 leaves it out.
	size, short int
}

// scenarios returns all of them in the order of the table.
func scenarios() []scenario {
	return []scenario{
		{
			name: "laggy", what: "frames come late, one in 20 by 5 ms, with all that follow", size: 1000, short: 90,
			fate: func(*lossy.Message) lossy.Fate { return oneIn(20, lossy.Delayed) }, run: noneLost,
		},
		{
			name: "lossy", what: "one frame in 1000 is lost, comes twice or is overtaken", size: 3000, short: 300,
			fate: func(*lossy.Message) lossy.Fate {
				return oneIn(1000, []lossy.Fate{lossy.Lost, lossy.Doubled, lossy.Swapped}[rand.IntN(3)])
			},
			run: someWhole,
		},
		{
			name: "cut", what: "connections are cut, and held up for 1 s and 5 s", size: 32,
			run: cutConnections,
		},
		{
			name: "killed", what: "SIGKILL of the server, which is replaced", size: 32,
			run: killStreamer,
		},
		{
			name: "vanish", what: "SIGKILL of a client with 10,000 open streams", size: 10_000, short: 1000,
			run: killReader,
		},
		{
			name: "slow", what: "a reader of one item a second for 60 s, others beside it", size: 60,
			run: readSlowly,
		},
	}
}

func oneIn(n int, fate lossy.Fate) lossy.Fate {
	if rand.IntN(n) > 0 {
		return lossy.Passed
	}
	return fate
}

const (
	lag = 5 * time.Millisecond
	// Usual streams: as many at once, and items in each.
	streamsAtOnce = 32
	streamItems   = 200
	// longItems keep a stream busy until something happens to it.
	longItems = 20_000
)
