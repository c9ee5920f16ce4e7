package chaos

import (
	"time"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/bench/load"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// impact is what a fault has done to the calls. Its times count from the fault.
type impact struct {
	calls, failed, unknown int64
	codes                  map[string]int64
	firstFailure           time.Duration // load.Never if no call failed
	slowest                time.Duration // of the calls that succeeded
	failover               time.Duration // load.Never if calls do not succeed again
}

// impactOf looks at the calls that have ended since a fault.
func impactOf(calls []ended, fault time.Duration) impact {
	i := impact{codes: make(map[string]int64), firstFailure: load.Never, failover: load.Never}
	lastBad := fault // the start of the last call that failed
	for _, c := range calls {
		if c.end < fault {
			continue
		}
		i.calls++
		if c.err == nil {
			i.slowest = max(i.slowest, c.end-c.start)
			continue
		}
		i.failed++
		i.codes[aegis.CodeOf(c.err).String()]++
		if aegis.MayHaveRun(c.err) {
			i.unknown++
		}
		i.firstFailure = min(i.firstFailure, c.end-fault)
		lastBad = max(lastBad, c.start)
	}
	for _, c := range calls {
		if c.err == nil && c.start > lastBad {
			i.failover = min(i.failover, c.end-fault)
		}
	}
	return i
}
