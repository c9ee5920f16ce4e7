package main

import (
	"context"
	"fmt"
	"os"
)

// What it costs that only the leader may handle a call: the same method, load
// balanced and single active, of one service in one process.

func leaderScenario() scenario {
	const callers = 64
	return scenario{
		name:  "leader-64",
		about: fmt.Sprintf("%d callers, %d bytes each way: a leader's calls against load balanced ones.", callers, payloadBytes),
		run:   func(ctx context.Context, s *settings) (int, error) { return runLeader(ctx, s, callers) },
	}
}

func runLeader(ctx context.Context, s *settings, callers int) (int, error) {
	g := newGroup(ctx)
	defer g.stop()
	f := &unaryField{group: g, nats: g.start("nats", "")}
	service := g.start("bench-service", f.nats.url)
	pair := []contender{
		{name: "load balanced", service: service, client: g.start("balanced-client", f.nats.url)},
		{name: "leader", service: service, client: g.start("leader-client", f.nats.url)},
	}
	if g.err != nil {
		return 0, g.err
	}
	var rate, cpu spread
	for n := range s.warmups + s.rounds {
		var round [2]*callFigures
		for i := range pair {
			who := (i + n) % len(pair)
			got, err := f.measureOne(&pair[who], loadOrder{Callers: callers, Time: s.roundTime, Deadline: deadlineNone})
			if err != nil {
				return 0, err
			}
			round[who] = got
		}
		if n >= s.warmups {
			rate = append(rate, round[1].rate()/round[0].rate())
			cpu = append(cpu, round[1].cpu()/round[0].cpu())
		}
	}
	v := newVerdicts(os.Stdout, "leader / load balanced, median (lowest..highest) of the rounds' ratios")
	v.judge("calls/s", median(rate), rate.String(), atLeast(0.97))
	v.judge("CPU per call", median(cpu), cpu.String(), atMost(1.03))
	return v.done(), nil
}
