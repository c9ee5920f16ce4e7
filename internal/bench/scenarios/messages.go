package scenarios

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/aegisrpc/aegis/internal/bench/crew"
	"github.com/aegisrpc/aegis/internal/bench/figures"
	"github.com/aegisrpc/aegis/internal/bench/load"
	"github.com/aegisrpc/aegis/internal/bench/roles"
)

// What is published and sent, and not called: events and commands, of the
// generated code and of hand-written nats.go with JetStream. Each contender is
// one process that publishes and handles.

func publishScenario(name, what string, callers int, least float64) Scenario {
	about := map[string]string{
		roles.OpCore:    "core events, published",
		roles.OpDurable: "durable events, published and acknowledged one by one",
		roles.OpAsync:   fmt.Sprintf("durable events, published with up to %d in flight", roles.InFlight),
		roles.OpCommand: "commands, sent, worked by 16 handlers of the same process, and awaited. Those of Aegis store\n" +
			"their result; the hand-written work queue replies and stores nothing",
		roles.OpStored: "the same commands, and the hand-written work queue stores its results as well",
	}[what]
	return Scenario{
		Name:  name,
		About: fmt.Sprintf("%d callers, %d bytes: %s.", callers, load.PayloadBytes, about),
		Run: func(ctx context.Context, s *Settings) (int, error) {
			return compareMessages(ctx, s, "per second", least, func(p *crew.Process) (float64, error) {
				var got load.Result
				err := p.Ask(what, load.Order{Callers: callers, Time: s.RoundTime, Deadline: load.DeadlineOfCaller}, s.RoundTime+load.CallTimeout, &got)
				return float64(got.Calls) / got.Elapsed.Seconds(), err
			})
		},
	}
}

const consumedEvents = 20_000

func consumeScenario() Scenario {
	return Scenario{
		Name:  "event-consume",
		About: fmt.Sprintf("%d durable events that are there, handled one after the other and acknowledged.", consumedEvents),
		Run: func(ctx context.Context, s *Settings) (int, error) {
			return compareMessages(ctx, s, "per second", 0.9, func(p *crew.Process) (float64, error) {
				return consumeRate(p, roles.ConsumeOrder{Events: consumedEvents})
			})
		},
	}
}

func consumeRate(p *crew.Process, o roles.ConsumeOrder) (float64, error) {
	var took time.Duration
	err := p.Ask(roles.OpConsume, o, time.Minute, &took)
	return float64(o.Events) / took.Seconds(), err
}

// compareMessages has the two processes take turns, and judges the ratio.
func compareMessages(ctx context.Context, s *Settings, what string, least float64, measure func(*crew.Process) (float64, error)) (int, error) {
	g := crew.New(ctx)
	defer g.Stop()
	nats := g.Start("nats", "")
	if g.Err != nil {
		return 0, g.Err
	}
	pair := [2]*crew.Process{g.Start("plain-messages", nats.URL), g.Start("aegis-messages", nats.URL)}
	if g.Err != nil {
		return 0, g.Err
	}
	rounds, err := takeTurns(s, len(pair), func(who int) (float64, error) { return measure(pair[who]) })
	if err != nil {
		return 0, err
	}
	own := func(rate float64) float64 { return rate }
	ratio := ratios(rounds, 1, own)
	fmt.Printf("\n%d rounds, median: plain %.0f, aegis %.0f %s\n\n", s.Rounds,
		figures.Median(valuesOf(rounds, 0, own)), figures.Median(valuesOf(rounds, 1, own)), what)
	v := figures.NewVerdicts(os.Stdout, "aegis / plain, median (lowest..highest) of the rounds' ratios")
	v.Judge(what, figures.Median(ratio), ratio.String(), figures.AtLeast(least))
	return v.Done(), nil
}

// keyedScenario shows what order by key costs, and how it grows.
func keyedScenario() Scenario {
	const events = 4000
	return Scenario{
		Name: "event-keyed",
		About: fmt.Sprintf("%d durable events with a key, each event acknowledged before the next one of its partition is delivered;\n"+
			"one instance.", events),
		Run: func(ctx context.Context, s *Settings) (int, error) {
			g := crew.New(ctx)
			defer g.Stop()
			nats := g.Start("nats", "")
			if g.Err != nil {
				return 0, g.Err
			}
			p := g.Start("aegis-messages", nats.URL)
			if g.Err != nil {
				return 0, g.Err
			}
			t := figures.NewTable(os.Stdout)
			figures.Row(t, "partitions", "events/s", "events/s and partition")
			figures.Row(t, "---:", "---:", "---:")
			for _, partitions := range []int{1, 4, 16} {
				var rates []float64
				for range max(1, s.Rounds/5) {
					rate, err := consumeRate(p, roles.ConsumeOrder{Events: events, Partitions: partitions})
					if err != nil {
						return 0, err
					}
					rates = append(rates, rate)
				}
				rate := figures.Median(rates)
				figures.Row(t, strconv.Itoa(partitions), fmt.Sprintf("%.0f", rate), fmt.Sprintf("%.0f", rate/float64(partitions)))
			}
			return 0, t.Flush()
		},
	}
}
