package demo

import (
	"context"
	"flag"
	"strconv"
	"sync/atomic"

	aegis "github.com/aegisrpc/aegis/runtime"
)

// A part's client is a process of its own: this program again, with the name of a
// role and a load as its arguments. It prints what it goes through as JSON lines.

// load says how many calls a client process makes.
type load struct {
	natsURL  string
	count    int // calls or orders
	inFlight int
}

func (l *load) addFlags(flags *flag.FlagSet) {
	flags.StringVar(&l.natsURL, "nats", "", "`URL` of the NATS server")
	flags.IntVar(&l.count, "count", 1, "how many calls to make, or orders to place")
	flags.IntVar(&l.inFlight, "in-flight", 1, "how many of them at once")
}

func (l *load) args() []string {
	return []string{"--nats", l.natsURL, "--count", strconv.Itoa(l.count), "--in-flight", strconv.Itoa(l.inFlight)}
}

// each makes all calls, numbered from 1 on, with as many callers as there are to be in
// flight, and returns what comes of the calls as they end.
func each[R any](l *load, call func(caller int, n int64) R) <-chan R {
	var begun atomic.Int64
	results := make(chan R, l.count) // so that a slow reader of the news slows no call
	for caller := range l.inFlight {
		go func() {
			for n := begun.Add(1); n <= int64(l.count); n = begun.Add(1) {
				results <- call(caller, n)
			}
		}()
	}
	return results
}

// asClient is the main of a client process: it parses the arguments, connects, and
// runs.
func asClient(ctx context.Context, flags *flag.FlagSet, args []string, l *load, run func(*aegis.Conn) error) error {
	if err := flags.Parse(args); err != nil {
		return err
	}
	conn, err := aegis.Connect(ctx, l.natsURL)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.Background()) }() // all replies are here
	return run(conn)
}
