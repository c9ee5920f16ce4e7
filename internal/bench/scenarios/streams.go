package scenarios

import (
	"context"
	"fmt"
	"os"

	"github.com/aegisrpc/aegis/internal/bench/child"
	"github.com/aegisrpc/aegis/internal/bench/crew"
	"github.com/aegisrpc/aegis/internal/bench/figures"
	"github.com/aegisrpc/aegis/internal/bench/load"
	"github.com/aegisrpc/aegis/internal/bench/roles"
)

// Streams of small messages, against hand-written publishing and subscribing
// without any flow control.

// flowMessages take about as long as a round does.
const flowMessages = 200_000

func streamScenario(name, opName string) Scenario {
	return Scenario{
		Name: name,
		About: fmt.Sprintf("%d messages of %d bytes in one stream, each checked. plain is hand-written nats.go: publish,\n"+
			"subscribe and the same marshalling, and nothing that keeps the writer from running away.", flowMessages, load.PayloadBytes),
		Run: func(ctx context.Context, s *Settings) (int, error) { return runStream(ctx, s, opName) },
	}
}

func runStream(ctx context.Context, s *Settings, opName string) (int, error) {
	g := crew.New(ctx)
	defer g.Stop()
	nats := g.Start("nats", "")
	race := flowRace{nats: nats, pair: [2]contender{
		{name: plainName, service: g.Start("plain-source", nats.URL), client: g.Start("plain-reader", nats.URL)},
		{name: aegisName, service: g.Start("stream-service", nats.URL), client: g.Start("stream-client", nats.URL)},
	}}
	if g.Err != nil {
		return 0, g.Err
	}
	flow := child.Flow{Messages: flowMessages, Bytes: load.PayloadBytes}
	race.flows = [2]child.Flow{flow, flow}
	got, err := race.run(s, opName)
	if err != nil {
		return 0, err
	}
	got.print("messages/s")
	v := figures.NewVerdicts(os.Stdout, "aegis / plain, median (lowest..highest) of the rounds' ratios")
	v.Judge("messages/s", figures.Median(got.rate), got.rate.String(), figures.AtLeast(0.8))
	v.Judge("CPU per message", figures.Median(got.cpu), got.cpu.String(), figures.AtMost(1.5))
	return v.Done(), nil
}

func bidiScenario(callers int) Scenario {
	return Scenario{
		Name: fmt.Sprintf("bidi-%d", callers),
		About: fmt.Sprintf("%d callers, %d bytes each way: a message and its answer on an open stream, against a unary call of\n"+
			"the same service.", callers, load.PayloadBytes),
		Run: func(ctx context.Context, s *Settings) (int, error) { return runBidi(ctx, s, callers) },
	}
}

func runBidi(ctx context.Context, s *Settings, callers int) (int, error) {
	g := crew.New(ctx)
	defer g.Stop()
	nats := g.Start("nats", "")
	g.Start("stream-service", nats.URL)
	client := g.Start("stream-client", nats.URL)
	if g.Err != nil {
		return 0, g.Err
	}
	names := [2]string{roles.OpLoad, roles.OpChat}
	rounds, err := takeTurns(s, len(names), func(who int) (got load.Result, err error) {
		o := load.Order{Callers: callers, Time: s.RoundTime, Deadline: load.DeadlineNone}
		err = client.Ask(names[who], o, o.Time+load.CallTimeout, &got)
		return got, err
	})
	if err != nil {
		return 0, err
	}
	ratio := ratios(rounds, 1, func(r load.Result) float64 { return float64(r.Calls) / r.Elapsed.Seconds() })
	p99 := ratios(rounds, 1, func(r load.Result) float64 { return float64(r.P99) })
	v := figures.NewVerdicts(os.Stdout, "stream / unary, median (lowest..highest) of the rounds' ratios")
	v.Judge("messages/s", figures.Median(ratio), ratio.String(), figures.AtLeast(0.95))
	v.Judge("p99", figures.Median(p99), p99.String(), figures.AtMost(1.1))
	return v.Done(), nil
}
