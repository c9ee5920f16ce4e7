package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"time"
)

// What is published and sent, and not called: events and commands, of the
// generated code and of hand-written nats.go with JetStream. Each contender is
// one process that publishes and handles.

func publishScenario(name, what string, callers int, least float64) scenario {
	about := map[string]string{
		opCore:    "core events, published",
		opDurable: "durable events, published and acknowledged one by one",
		opAsync:   fmt.Sprintf("durable events, published with up to %d in flight", inFlight),
		opCommand: "commands, sent, worked by 16 handlers of the same process, and awaited. Those of Aegis store\n" +
			"their result; the hand-written work queue replies and stores nothing",
		opStored: "the same commands, and the hand-written work queue stores its results as well",
	}[what]
	return scenario{
		name:  name,
		about: fmt.Sprintf("%d callers, %d bytes: %s.", callers, payloadBytes, about),
		run: func(ctx context.Context, s *settings) (int, error) {
			return compareMessages(ctx, s, "per second", least, func(p *process) (float64, error) {
				var got loadResult
				err := p.ask(what, loadOrder{Callers: callers, Time: s.roundTime, Deadline: deadlineOfCaller}, s.roundTime+callTimeout, &got)
				return float64(got.Calls) / got.Elapsed.Seconds(), err
			})
		},
	}
}

const consumedEvents = 20_000

func consumeScenario() scenario {
	return scenario{
		name:  "event-consume",
		about: fmt.Sprintf("%d durable events that are there, handled one after the other and acknowledged.", consumedEvents),
		run: func(ctx context.Context, s *settings) (int, error) {
			return compareMessages(ctx, s, "per second", 0.9, func(p *process) (float64, error) {
				return consumeRate(p, consumeOrder{Events: consumedEvents})
			})
		},
	}
}

func consumeRate(p *process, o consumeOrder) (float64, error) {
	var took time.Duration
	err := p.ask(opConsume, o, time.Minute, &took)
	return float64(o.Events) / took.Seconds(), err
}

// compareMessages has the two processes take turns, and judges the ratio.
func compareMessages(ctx context.Context, s *settings, what string, least float64, measure func(*process) (float64, error)) (int, error) {
	g := newGroup(ctx)
	defer g.stop()
	nats := g.start("nats", "")
	if g.err != nil {
		return 0, g.err
	}
	pair := [2]*process{g.start("plain-messages", nats.url), g.start("aegis-messages", nats.url)}
	if g.err != nil {
		return 0, g.err
	}
	var rates [2][]float64
	var ratio spread
	for n := range s.warmups + s.rounds {
		var round [2]float64
		for i := range pair {
			who := (i + n) % len(pair)
			var err error
			if round[who], err = measure(pair[who]); err != nil {
				return 0, err
			}
		}
		if n >= s.warmups {
			ratio = append(ratio, round[1]/round[0])
			rates[0], rates[1] = append(rates[0], round[0]), append(rates[1], round[1])
		}
	}
	fmt.Printf("\n%d rounds, median: plain %.0f, aegis %.0f %s\n\n", s.rounds, median(rates[0]), median(rates[1]), what)
	v := newVerdicts(os.Stdout, "aegis / plain, median (lowest..highest) of the rounds' ratios")
	v.judge(what, median(ratio), ratio.String(), atLeast(least))
	return v.done(), nil
}

// keyedScenario shows what order by key costs, and how it grows.
func keyedScenario() scenario {
	const events = 4000
	return scenario{
		name: "event-keyed",
		about: fmt.Sprintf("%d durable events with a key, each event acknowledged before the next one of its partition is delivered;\n"+
			"one instance.", events),
		run: func(ctx context.Context, s *settings) (int, error) {
			g := newGroup(ctx)
			defer g.stop()
			nats := g.start("nats", "")
			if g.err != nil {
				return 0, g.err
			}
			p := g.start("aegis-messages", nats.url)
			if g.err != nil {
				return 0, g.err
			}
			t := newTable(os.Stdout)
			row(t, "partitions", "events/s", "events/s and partition")
			row(t, "---:", "---:", "---:")
			for _, partitions := range []int{1, 4, 16} {
				var rates []float64
				for range max(1, s.rounds/5) {
					rate, err := consumeRate(p, consumeOrder{Events: events, Partitions: partitions})
					if err != nil {
						return 0, err
					}
					rates = append(rates, rate)
				}
				rate := median(rates)
				row(t, strconv.Itoa(partitions), fmt.Sprintf("%.0f", rate), fmt.Sprintf("%.0f", rate/float64(partitions)))
			}
			return 0, t.Flush()
		},
	}
}
