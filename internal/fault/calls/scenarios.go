//go:build linux

package calls

import (
	"context"
	"slices"
	"time"

	"github.com/aegisrpc/aegis/internal/fault/world"
	"github.com/aegisrpc/aegis/runtime/election"
)

// Scenario is one way to break a single active service. To add one, write its round
// into one of the files of faults, and a line into the table below.
type Scenario struct {
	Name string
	What string // what the time is measured from, for the table
	// rounds of the long form, and of the short one, where 0 leaves it out.
	rounds, short int
	// epoch is how many rounds one world lasts: a history of bounded length.
	epoch int
	setup world.Setup
	// loads are how many callers there are; by default one, then many.
	loads []int
	// round waits until all is well, breaks it, measures, and repairs it. The
	// duration is unmeasured where there is nothing to measure.
	round func(context.Context, *world.World) (time.Duration, error)
}

// crowd is the number of callers of the runs under load.
const crowd = 64

var idleAndLoaded = []int{1, crowd} //nolint:gochecknoglobals // a constant

// oneEach has a caller on each server of a cluster, so that some are on the large
// side of a partition.
var oneEach = []int{3, crowd} //nolint:gochecknoglobals // a constant

func with(s world.Setup, change func(*world.Setup)) world.Setup {
	change(&s)
	return s
}

func proxied(s *world.Setup)  { s.Proxied = true }
func tapped(s *world.Setup)   { s.Tap = true }
func together(s *world.Setup) { s.Together, s.Candidates = true, 5 }
func cluster(s *world.Setup)  { s.Servers = 3 }

// impatient callers give up soon: the reply to what was in flight when NATS went
// down may never come, and with a longer timeout nobody would be calling when it
// is back, which takes some 30 ms.
func impatient(s *world.Setup) { s.Timeout = 75 * time.Millisecond }

func fast(s *world.Setup) {
	s.Election.Window, s.Election.Probe = 50*time.Millisecond, 15*time.Millisecond
}

// Scenarios returns all scenarios in the order of the table. If short is set, it
// returns those that have a short form, in that form.
func Scenarios(short bool) []Scenario {
	if short {
		return shortened(scenarios())
	}
	return scenarios()
}

// shortened returns the scenarios for which tests have time, with few rounds, few
// callers and a short lease.
func shortened(all []Scenario) []Scenario {
	var some []Scenario
	for _, s := range all {
		if s.short > 0 {
			s.rounds, s.loads = s.short, []int{8}
			s.setup.Election = election.Aggressive.Config()
			some = append(some, s)
		}
	}
	return some
}

func scenarios() []Scenario {
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

// ofLeader returns the scenarios in which something happens to candidates.
func ofLeader() []Scenario {
	return []Scenario{
		{
			Name: "kill", What: "SIGKILL of the leader",
			rounds: 100, short: 3, setup: world.Single(), round: kill,
		},
		{
			Name: "stop", What: "graceful stop, from the end of the last handler",
			rounds: 100, short: 3, setup: world.Single(), round: stop,
		},
		{
			Name: "handover", What: "hand-over to any other candidate, from the request",
			rounds: 100, setup: world.Single(), round: handOver,
		},
		{
			Name: "first", What: "first leader of a new bucket, from the first candidate that runs",
			rounds: 100, epoch: 1, setup: with(world.Single(), together), loads: []int{1}, round: first,
		},
		{
			Name: "freeze", What: "SIGSTOP for longer than the lease, then SIGCONT",
			rounds: 100, short: 1, setup: world.Single(), round: freeze,
		},
		{
			Name: "flap", What: "stalls shorter than the lease, from the end of the last",
			rounds: 20, setup: world.Single(), round: flap,
		},
		{
			Name: "quota", What: "stopped 80 of every 100 ms for 3 s, from its end",
			rounds: 20, setup: world.Single(), round: quota,
		},
		{
			Name: "together", What: "all killed, five started at once, from the first that runs",
			rounds: 20, setup: with(world.Single(), together), round: startTogether,
		},
		{
			Name: "rename", What: "SIGKILL, restarted at once under the same name",
			rounds: 20, setup: world.Single(), round: sameName,
		},
		{
			Name: "tap", What: "SIGKILL of the leader with a subscriber on >",
			rounds: 20, setup: with(world.Single(), tapped), round: kill,
		},
		{
			Name: "fast", What: "SIGKILL of the leader, window 50 ms, probe 15 ms",
			rounds: 100, setup: with(world.Single(), fast), round: kill,
		},
		{
			Name: "quiet", What: "no fault for 60 s",
			rounds: 1, epoch: 1, setup: world.Single(), loads: []int{crowd}, round: quiet,
		},
	}
}

// ofConnection returns the scenarios in which something happens to the leader's
// connection.
func ofConnection() []Scenario {
	return []Scenario{
		{
			Name: "blackhole", What: "leader's connection held up both ways",
			rounds: 100, setup: with(world.Single(), proxied), round: blackhole(true, true),
		},
		{
			Name: "deaf", What: "held up from NATS to the leader",
			rounds: 20, setup: with(world.Single(), proxied), round: blackhole(false, true),
		},
		{
			Name: "mute", What: "held up from the leader to NATS",
			rounds: 20, setup: with(world.Single(), proxied), round: blackhole(true, false),
		},
	}
}

// ofNATS returns the scenarios in which something happens to a single NATS server.
func ofNATS() []Scenario {
	return []Scenario{
		{
			Name: "restart", What: "NATS killed and restarted with its data, from its first JetStream answer",
			rounds: 100, setup: with(world.Single(), impatient), round: restartNATS,
		},
		{
			Name: "wipe", What: "NATS killed and restarted without its data, from its first JetStream answer",
			rounds: 20, epoch: 5, setup: with(world.Single(), impatient), round: wipeNATS,
		},
		{
			Name: "bucket", What: "KV bucket deleted",
			rounds: 20, setup: world.Single(), round: deleteBucket,
		},
		{
			Name: "both", What: "leader and NATS killed, NATS restarted with its data",
			rounds: 20, setup: with(world.Single(), impatient), round: killBoth,
		},
	}
}

// ofCluster returns the scenarios in which something happens to a cluster of three.
func ofCluster() []Scenario {
	return []Scenario{
		{
			Name: "server", What: "cluster of three: the leader's NATS server killed, longest gap",
			rounds: 20, loads: oneEach, setup: with(with(world.Single(), cluster), impatient), round: killServer(leadersServer),
		},
		{
			Name: "raft", What: "cluster of three: the server of the KV's raft leader killed, longest gap",
			rounds: 20, loads: oneEach, setup: with(with(world.Single(), cluster), impatient), round: killServer(raftLeader),
		},
		{
			Name: "partition", What: "cluster of three: routes cut, the leader on the small side",
			rounds: 20, loads: oneEach, setup: with(with(world.Single(), cluster), impatient), round: partition,
		},
	}
}
