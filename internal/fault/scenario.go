//go:build linux

package main

import (
	"context"
	"slices"
	"time"

	"github.com/aegisrpc/aegis/runtime/election"
)

// scenario is one way to break things.
type scenario struct {
	name string
	what string // what the time is measured from, for the table
	// rounds of the long form, and of the short one, where 0 leaves it out.
	rounds, short int
	// epoch is how many rounds one world lasts: a history of bounded length.
	epoch int
	setup setup
	// loads are how many callers there are; by default one, then many.
	loads []int
	// round waits until all is well, breaks it, measures, and repairs it. The
	// duration is negative where there is nothing to measure.
	round func(context.Context, *world) (time.Duration, error)
}

// crowd is how many callers make load.
const crowd = 64

var idleAndLoaded = []int{1, crowd} //nolint:gochecknoglobals // a constant

// oneEach has a caller on each server of a cluster, so that some are on the large
// side of a partition.
var oneEach = []int{3, crowd} //nolint:gochecknoglobals // a constant

// The usual setups.
func single() setup { return setup{servers: 1, candidates: 3, election: election.Balanced.Config()} }

func with(s setup, change func(*setup)) setup {
	change(&s)
	return s
}

func proxied(s *setup)  { s.proxied = true }
func tapped(s *setup)   { s.tap = true }
func together(s *setup) { s.together, s.candidates = true, 5 }
func cluster(s *setup)  { s.servers = 3 }

// impatient callers give up soon: the reply to what was in flight when NATS went
// down may never come, and with a longer timeout nobody would be calling when it
// is back, which takes some 30 ms.
func impatient(s *setup) { s.timeout = 75 * time.Millisecond }

func fast(s *setup) {
	s.election.Window, s.election.Probe = 50*time.Millisecond, 15*time.Millisecond
}

// scenarios are all of them, in the order of the table.
func scenarios() []scenario {
	all := slices.Concat(ofLeader(), ofConnection(), ofNATS(), ofCluster())
	for i := range all {
		if all[i].epoch == 0 {
			all[i].epoch = 10
		}
		if all[i].loads == nil {
			all[i].loads = idleAndLoaded
		}
	}
	return all
}

// ofLeader happens to processes.
func ofLeader() []scenario {
	return []scenario{
		{
			name: "kill", what: "SIGKILL of the leader",
			rounds: 100, short: 3, setup: single(), round: kill,
		},
		{
			name: "stop", what: "graceful stop, from the end of the last handler",
			rounds: 100, short: 3, setup: single(), round: stop,
		},
		{
			name: "first", what: "first leader of a new bucket, from the first candidate that runs",
			rounds: 100, epoch: 1, setup: with(single(), together), loads: []int{1}, round: first,
		},
		{
			name: "freeze", what: "SIGSTOP for longer than the lease, then SIGCONT",
			rounds: 100, short: 1, setup: single(), round: freeze,
		},
		{
			name: "flap", what: "stalls shorter than the lease, from the end of the last",
			rounds: 20, setup: single(), round: flap,
		},
		{
			name: "quota", what: "stopped 80 of every 100 ms for 3 s, from its end",
			rounds: 20, setup: single(), round: quota,
		},
		{
			name: "together", what: "all killed, five started at once, from the first that runs",
			rounds: 20, setup: with(single(), together), round: startTogether,
		},
		{
			name: "rename", what: "SIGKILL, restarted at once under the same name",
			rounds: 20, setup: single(), round: sameName,
		},
		{
			name: "tap", what: "SIGKILL of the leader with a subscriber on >",
			rounds: 20, setup: with(single(), tapped), round: kill,
		},
		{
			name: "fast", what: "SIGKILL of the leader, window 50 ms, probe 15 ms",
			rounds: 100, setup: with(single(), fast), round: kill,
		},
		{
			name: "quiet", what: "no fault for 60 s",
			rounds: 1, epoch: 1, setup: single(), loads: []int{crowd}, round: quiet,
		},
	}
}

// ofConnection happens to the leader's connection.
func ofConnection() []scenario {
	return []scenario{
		{
			name: "blackhole", what: "leader's connection held up both ways",
			rounds: 100, setup: with(single(), proxied), round: blackhole(true, true),
		},
		{
			name: "deaf", what: "held up from NATS to the leader",
			rounds: 20, setup: with(single(), proxied), round: blackhole(false, true),
		},
		{
			name: "mute", what: "held up from the leader to NATS",
			rounds: 20, setup: with(single(), proxied), round: blackhole(true, false),
		},
	}
}

// ofNATS happens to a single NATS server.
func ofNATS() []scenario {
	return []scenario{
		{
			name: "restart", what: "NATS killed and restarted with its data, from its first JetStream answer",
			rounds: 100, setup: with(single(), impatient), round: restartNATS,
		},
		{
			name: "wipe", what: "NATS killed and restarted without its data, from its first JetStream answer",
			rounds: 20, epoch: 5, setup: with(single(), impatient), round: wipeNATS,
		},
		{
			name: "bucket", what: "KV bucket deleted",
			rounds: 20, setup: single(), round: deleteBucket,
		},
		{
			name: "both", what: "leader and NATS killed, NATS restarted with its data",
			rounds: 20, setup: with(single(), impatient), round: killBoth,
		},
	}
}

// ofCluster happens to a cluster of three.
func ofCluster() []scenario {
	return []scenario{
		{
			name: "server", what: "cluster of three: the leader's NATS server killed, longest gap",
			rounds: 20, loads: oneEach, setup: with(with(single(), cluster), impatient), round: killServer(leadersServer),
		},
		{
			name: "raft", what: "cluster of three: the server of the KV's raft leader killed, longest gap",
			rounds: 20, loads: oneEach, setup: with(with(single(), cluster), impatient), round: killServer(raftLeader),
		},
		{
			name: "partition", what: "cluster of three: routes cut, the leader on the small side",
			rounds: 20, loads: oneEach, setup: with(with(single(), cluster), impatient), round: partition,
		},
	}
}
