// Package scenarios has the comparisons of the benchmark: which processes take part,
// what they are asked for in turns, what is printed, and the targets.
//
// A new one is a line in the table below and a file of its own; what its processes do
// goes into package roles.
package scenarios

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/aegisrpc/aegis/internal/bench/roles"
)

// Settings come from the command line and hold for all scenarios.
type Settings struct {
	Rounds    int           // that count
	Warmups   int           // rounds before them
	RoundTime time.Duration // of each contender in a round
	FloodTime time.Duration
	SlowTime  time.Duration // how long the slow reader reads
	RestTime  time.Duration // how long instances at rest are measured in a round
	Only      string        // names, for Choose
}

// Scenario is one comparison with its own tables, in a file of its own.
type Scenario struct {
	Name  string
	About string
	// Run prints what it measured and returns how many targets were missed.
	Run func(ctx context.Context, s *Settings) (missed int, err error)
}

func scenarios() []Scenario {
	return []Scenario{
		unaryScenario(1, unaryTargetsAt1()),
		unaryScenario(64, unaryTargetsAt64()),
		leaderScenario(),
		publishScenario("event-core", roles.OpCore, 1, 0.9),
		publishScenario("event-durable", roles.OpDurable, 16, 0.9),
		publishScenario("event-async", roles.OpAsync, 1, 0.9),
		consumeScenario(),
		keyedScenario(),
		publishScenario("command", roles.OpCommand, 64, 0.8),
		publishScenario("command-stored", roles.OpStored, 64, 0.8),
		directedScenario(),
		slowOneScenario(),
		floodScenario(),
		streamScenario("stream-server", roles.OpPull),
		streamScenario("stream-client", roles.OpPush),
		psrpcScenario(),
		bidiScenario(1),
		bidiScenario(64),
		idleScenario(),
		slowScenario(),
		largeScenario("large-reply", roles.OpReply),
		largeScenario("large-request", roles.OpRequest),
		broadcastScenario(),
		restScenario(),
		generateScenario(),
	}
}

// Names lists the names of all scenarios, for people.
func Names() string {
	var names []string
	for _, sc := range scenarios() {
		names = append(names, sc.Name)
	}
	return strings.Join(names, ", ")
}

// Choose returns the scenarios that only names, separated by commas, or all of them
// if only is empty.
func Choose(only string) ([]Scenario, error) {
	if only == "" {
		return scenarios(), nil
	}
	var chosen []Scenario
	for name := range strings.SplitSeq(only, ",") {
		found := false
		for _, sc := range scenarios() {
			if sc.Name == strings.TrimSpace(name) {
				chosen, found = append(chosen, sc), true
			}
		}
		if !found {
			return nil, fmt.Errorf("there is no scenario %q; there are %s", name, Names())
		}
	}
	return chosen, nil
}
