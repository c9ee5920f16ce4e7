package main

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// settings are what all scenarios are told.
type settings struct {
	rounds    int
	warmups   int
	roundTime time.Duration
	floodTime time.Duration
	slowTime  time.Duration
	only      string
}

// scenario is one comparison with its own tables, in a file of its own.
type scenario struct {
	name  string
	about string
	// run prints what it measured and returns how many targets were missed.
	run func(ctx context.Context, s *settings) (missed int, err error)
}

func scenarios() []scenario {
	return []scenario{
		unaryScenario(1, unaryTargetsAt1()),
		unaryScenario(64, unaryTargetsAt64()),
		leaderScenario(),
		publishScenario("event-core", opCore, 1, 0.9),
		publishScenario("event-durable", opDurable, 16, 0.9),
		publishScenario("event-async", opAsync, 1, 0.9),
		consumeScenario(),
		keyedScenario(),
		publishScenario("command", opCommand, 64, 0.8),
		publishScenario("command-stored", opStored, 64, 0.8),
		directedScenario(),
		slowOneScenario(),
		floodScenario(),
		streamScenario("stream-server", opPull),
		streamScenario("stream-client", opPush),
		psrpcScenario(),
		bidiScenario(1),
		bidiScenario(64),
		idleScenario(),
		slowScenario(),
		largeScenario("large-reply", opReply),
		largeScenario("large-request", opRequest),
		broadcastScenario(),
		generateScenario(),
	}
}

func scenarioNames() string {
	var names []string
	for _, sc := range scenarios() {
		names = append(names, sc.name)
	}
	return strings.Join(names, ", ")
}

func chooseScenarios(only string) ([]scenario, error) {
	if only == "" {
		return scenarios(), nil
	}
	var chosen []scenario
	for name := range strings.SplitSeq(only, ",") {
		found := false
		for _, sc := range scenarios() {
			if sc.name == strings.TrimSpace(name) {
				chosen, found = append(chosen, sc), true
			}
		}
		if !found {
			return nil, fmt.Errorf("there is no scenario %q; there are %s", name, scenarioNames())
		}
	}
	return chosen, nil
}
