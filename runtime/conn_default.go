package aegis

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"
)

// How soon a connection notices that the way to its NATS server swallows
// everything, and moves on to another server. nats.go sends a ping every second
// and gives up at the sixth tick that finds five unanswered; one who has filled
// the socket waits for writeTimeout at most, with the lock that the pings need.
// Both together are 10 s. A shorter time would give up servers that only pause.
const (
	pingInterval = time.Second
	maxPingsOut  = 5
	writeTimeout = 4 * time.Second
	// longestSilence is what NewConn accepts without a warning.
	longestSilence = 30 * time.Second
)

// connectOptions are the defaults of Connect, then the user's options, and in
// the end what has to see asynchronous errors whoever else does.
func connectOptions(url string, cfg *connConfig, errs *asyncErrors) (*nats.Options, error) {
	o := nats.GetDefaultOptions()
	o.Servers = splitURLs(url)
	o.MaxReconnect = -1
	o.IgnoreAuthErrorAbort = true
	o.PingInterval, o.MaxPingsOut = pingInterval, maxPingsOut
	// A write that times out has lost what it was to send, so the connection is
	// made anew.
	o.FlusherTimeout, o.ReconnectOnFlusherError = writeTimeout, true
	// What is published while NATS is away is refused. A request that is sent
	// after the reconnect would tell its handler nothing of how long it waited.
	o.ReconnectBufSize = -1
	o.CustomReconnectDelayCB = reconnectDelay
	o.AsyncErrorCB = nil
	for _, opt := range cfg.nats {
		if opt == nil {
			continue
		}
		if err := opt(&o); err != nil {
			return nil, fmt.Errorf("%w: NATS option: %w", ErrInvalidOption, err)
		}
	}
	errs.users = o.AsyncErrorCB
	o.AsyncErrorCB = errs.happened
	return &o, nil
}

// reconnectDelay lets 20 to 120 ms pass between attempts: many clients of a
// restarted server must not come at the same instant.
func reconnectDelay(attempts int) time.Duration {
	most := min(20*time.Millisecond<<min(attempts, 4), 100*time.Millisecond)
	return 20*time.Millisecond + rand.N(most)
}

// warnOfOptions names the options of a connection of the user's own with which it
// does not come back by itself, or notices too late that it has to.
func warnOfOptions(logger *slog.Logger, o *nats.Options) {
	if o.MaxReconnect >= 0 {
		logger.Warn("aegis: this NATS connection gives up reconnecting after a number of attempts; use nats.MaxReconnects(-1)",
			"max_reconnects", o.MaxReconnect)
	}
	if !o.IgnoreAuthErrorAbort {
		logger.Warn("aegis: this NATS connection is closed for good when a NATS server has refused its user twice, " +
			"as happens while users change; use nats.IgnoreAuthErrorAbort()")
	}
	if silence := o.PingInterval * time.Duration(o.MaxPingsOut+1); o.PingInterval <= 0 || silence > longestSilence {
		logger.Warn("aegis: this NATS connection takes long to notice that its way to NATS swallows everything; "+
			"use nats.PingInterval(time.Second) and nats.MaxPingsOutstanding(5)",
			"ping_interval", o.PingInterval, "max_pings_outstanding", o.MaxPingsOut)
	}
}
