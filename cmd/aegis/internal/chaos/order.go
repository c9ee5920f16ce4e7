package chaos

import (
	"slices"
	"time"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
)

// kind is what is done to a process.
type kind string

const (
	kill    kind = "kill"
	pause   kind = "pause"
	stop    kind = "stop"
	restart kind = "restart"
)

// The processes that are chosen.
const (
	targetLeader = "leader"
	targetRandom = "random"
)

// The names of the limits.
const (
	maxFailover = "max-failover"
	maxFailed   = "max-failed"
)

const (
	defaultFaults = 3
	mostFaults    = 10_000
	mostRate      = 10_000
	mostInFlight  = 1024
)

// order is what the user asks for.
type order struct {
	kind    kind
	pids    []int // empty: the servers of aegis dev, or of the demo
	demo    bool
	faults  int
	every   time.Duration
	pause   time.Duration
	rate    float64
	target  string
	wait    time.Duration
	timeout time.Duration // of a call; 0: the method's own

	maxFailover time.Duration // 0: no limit
	maxFailed   int64         // below 0: no limit
}

// check refuses what makes no sense, and fills in defaults.
func (o *order) check(given func(string) bool) error {
	if err := supported(); err != nil {
		return err
	}
	if given("pid") && len(o.pids) == 0 {
		return cli.Usagef("--pid: name at least one process, or leave it out for the servers of aegis dev")
	}
	slices.Sort(o.pids)
	o.pids = slices.Compact(o.pids)
	if o.demo && len(o.pids) > 0 {
		return cli.Usagef("--demo and --pid: use one of them")
	}
	// Processes of others do not come back by themselves.
	lasting := len(o.pids) > 0 && (o.kind == kill || o.kind == stop)
	if !given("faults") {
		o.faults = defaultFaults
		if lasting {
			o.faults = 1
		}
	}
	if !given(maxFailed) {
		o.maxFailed = -1
	}
	switch {
	case o.faults < 1 || o.faults > mostFaults:
		return cli.Usagef("--faults %d: use 1 to %d", o.faults, mostFaults)
	case lasting && o.faults > len(o.pids):
		return cli.Usagef("--faults %d: there are %d processes of --pid, and nobody starts them again after a %s", o.faults, len(o.pids), o.kind)
	case o.every < 0:
		return cli.Usagef("--every %s: use 0s or more", o.every)
	case o.kind == pause && o.pause <= 0:
		return cli.Usagef("--pause %s: use more than 0s", o.pause)
	case !(o.rate >= 1 && o.rate <= mostRate):
		return cli.Usagef("--rate %v: use 1 to %d calls a second", o.rate, mostRate)
	case o.target != "" && o.target != targetLeader && o.target != targetRandom:
		return cli.Usagef("--target %s: use %s or %s", o.target, targetLeader, targetRandom)
	case o.wait <= 0:
		return cli.Usagef("--wait %s: use more than 0s", o.wait)
	case given(maxFailover) && o.maxFailover <= 0:
		return cli.Usagef("--%s %s: use more than 0s", maxFailover, o.maxFailover)
	case given(maxFailed) && o.maxFailed < 0:
		return cli.Usagef("--%s %d: use 0 or more", maxFailed, o.maxFailed)
	}
	return nil
}
