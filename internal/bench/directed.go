package main

import (
	"context"
	"fmt"
	"os"
)

// What it costs that the client selects the instance, beside the queue group.

// directedInstances is how many instances share the calls.
const directedInstances = 4

// directedField is one NATS server, instances of one service, and a client for
// each strategy, the queue group's first.
type directedField struct {
	group    *group
	nats     *process
	services []*process
	clients  []*process
	names    []string
}

func startDirectedField(ctx context.Context, services []string) (*directedField, error) {
	g := newGroup(ctx)
	f := &directedField{group: g, nats: g.start("nats", ""), names: []string{"queue group", "round robin", "least loaded"}}
	for _, role := range services {
		f.services = append(f.services, g.start(role, f.nats.url))
	}
	for _, role := range []string{"queue-client", "turns-client", "least-client"} {
		f.clients = append(f.clients, g.start(role, f.nats.url))
	}
	if g.err != nil {
		g.stop()
		return nil, g.err
	}
	return f, nil
}

func directedScenario() scenario {
	const callers = 64
	return scenario{
		name: fmt.Sprintf("directed-%d", callers),
		about: fmt.Sprintf("%d callers, %d bytes each way, %d instances: calls to an instance that the client selects, against\n"+
			"those that NATS gives to one of the queue group.", callers, payloadBytes, directedInstances),
		run: func(ctx context.Context, s *settings) (int, error) { return runDirected(ctx, s, callers) },
	}
}

func runDirected(ctx context.Context, s *settings, callers int) (int, error) {
	var services []string
	for range directedInstances {
		services = append(services, "aegis-service")
	}
	f, err := startDirectedField(ctx, services)
	if err != nil {
		return 0, err
	}
	defer f.group.stop()
	var rounds [][]callFigures
	for n := range s.warmups + s.rounds {
		round, err := f.round(n, loadOrder{Callers: callers, Time: s.roundTime, Deadline: deadlineNone})
		if err != nil {
			return 0, err
		}
		if n >= s.warmups {
			rounds = append(rounds, round)
		}
	}
	fmt.Println()
	printFigures(f.names, rounds)
	v := newVerdicts(os.Stdout, "strategy / queue group, median (lowest..highest) of the rounds' ratios")
	for who := 1; who < len(f.clients); who++ {
		var rate, cpu spread
		for _, r := range rounds {
			rate = append(rate, r[who].rate()/r[0].rate())
			cpu = append(cpu, r[who].cpu()/r[0].cpu())
		}
		v.judge("calls/s by "+f.names[who], median(rate), rate.String(), atLeast(0.95))
		v.judge("CPU per call by "+f.names[who], median(cpu), cpu.String(), atMost(1.05))
	}
	return v.done(), nil
}

// round has all clients call, one after the other, in an order that goes round.
func (f *directedField) round(n int, o loadOrder) ([]callFigures, error) {
	round := make([]callFigures, len(f.clients))
	for i := range f.clients {
		who := (i + n) % len(f.clients)
		got, err := measureLoad(f.clients[who], o, f.nats, f.services...)
		if err != nil {
			return nil, err
		}
		round[who] = *got
	}
	return round, nil
}
