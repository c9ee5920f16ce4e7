package scenarios

import (
	"context"
	"fmt"
	"os"

	"github.com/aegisrpc/aegis/internal/bench/crew"
	"github.com/aegisrpc/aegis/internal/bench/figures"
	"github.com/aegisrpc/aegis/internal/bench/load"
)

// What it costs that the client selects the instance, beside the queue group.

// directedInstances is how many instances share the calls.
const directedInstances = 4

// directedField is one NATS server, instances of one service, and a client for
// each strategy, the queue group's first.
type directedField struct {
	group    *crew.Group
	nats     *crew.Process
	services []*crew.Process
	clients  []*crew.Process
	names    []string
}

func startDirectedField(ctx context.Context, services []string) (*directedField, error) {
	g := crew.New(ctx)
	f := &directedField{group: g, nats: g.Start("nats", ""), names: []string{"queue group", "round robin", "least loaded"}}
	for _, role := range services {
		f.services = append(f.services, g.Start(role, f.nats.URL))
	}
	for _, role := range []string{"queue-client", "turns-client", "least-client"} {
		f.clients = append(f.clients, g.Start(role, f.nats.URL))
	}
	if g.Err != nil {
		g.Stop()
		return nil, g.Err
	}
	return f, nil
}

func directedScenario() Scenario {
	const callers = 64
	return Scenario{
		Name: fmt.Sprintf("directed-%d", callers),
		About: fmt.Sprintf("%d callers, %d bytes each way, %d instances: calls to an instance that the client selects, against\n"+
			"those that NATS gives to one of the queue group.", callers, load.PayloadBytes, directedInstances),
		Run: func(ctx context.Context, s *Settings) (int, error) { return runDirected(ctx, s, callers) },
	}
}

func runDirected(ctx context.Context, s *Settings, callers int) (int, error) {
	var services []string
	for range directedInstances {
		services = append(services, "aegis-service")
	}
	f, err := startDirectedField(ctx, services)
	if err != nil {
		return 0, err
	}
	defer f.group.Stop()
	rounds, err := takeTurns(s, len(f.clients), func(who int) (*callFigures, error) {
		o := load.Order{Callers: callers, Time: s.RoundTime, Deadline: load.DeadlineNone}
		return measureLoad(f.clients[who], o, f.nats, f.services...)
	})
	if err != nil {
		return 0, err
	}
	fmt.Println()
	printFigures(f.names, rounds)
	v := figures.NewVerdicts(os.Stdout, "strategy / queue group, median (lowest..highest) of the rounds' ratios")
	for who := 1; who < len(f.clients); who++ {
		rate, cpu := ratios(rounds, who, (*callFigures).rate), ratios(rounds, who, (*callFigures).cpu)
		v.Judge("calls/s by "+f.names[who], figures.Median(rate), rate.String(), figures.AtLeast(0.95))
		v.Judge("CPU per call by "+f.names[who], figures.Median(cpu), cpu.String(), figures.AtMost(1.05))
	}
	return v.Done(), nil
}
