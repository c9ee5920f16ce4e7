package scenarios

import (
	"context"
	"fmt"
	"os"

	"github.com/aegisrpc/aegis/internal/bench/crew"
	"github.com/aegisrpc/aegis/internal/bench/figures"
	"github.com/aegisrpc/aegis/internal/bench/load"
)

// What it costs that only the leader may handle a call: the same method, load
// balanced and single active, of one service in one process.

func leaderScenario() Scenario {
	const callers = 64
	return Scenario{
		Name:  "leader-64",
		About: fmt.Sprintf("%d callers, %d bytes each way: a leader's calls against load balanced ones.", callers, load.PayloadBytes),
		Run:   func(ctx context.Context, s *Settings) (int, error) { return runLeader(ctx, s, callers) },
	}
}

func runLeader(ctx context.Context, s *Settings, callers int) (int, error) {
	g := crew.New(ctx)
	defer g.Stop()
	f := &unaryField{group: g, nats: g.Start("nats", "")}
	service := g.Start("bench-service", f.nats.URL)
	pair := []contender{
		{name: "load balanced", service: service, client: g.Start("balanced-client", f.nats.URL)},
		{name: "leader", service: service, client: g.Start("leader-client", f.nats.URL)},
	}
	if g.Err != nil {
		return 0, g.Err
	}
	rounds, err := takeTurns(s, len(pair), func(who int) (*callFigures, error) {
		return f.measureOne(&pair[who], load.Order{Callers: callers, Time: s.RoundTime, Deadline: load.DeadlineNone})
	})
	if err != nil {
		return 0, err
	}
	rate, cpu := ratios(rounds, 1, (*callFigures).rate), ratios(rounds, 1, (*callFigures).cpu)
	v := figures.NewVerdicts(os.Stdout, "leader / load balanced, median (lowest..highest) of the rounds' ratios")
	v.Judge("calls/s", figures.Median(rate), rate.String(), figures.AtLeast(0.97))
	v.Judge("CPU per call", figures.Median(cpu), cpu.String(), figures.AtMost(1.03))
	return v.Done(), nil
}
