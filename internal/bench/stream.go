package main

import (
	"context"
	"fmt"
	"os"

	"github.com/aegisrpc/aegis/internal/bench/child"
)

// Streams of small messages, against hand-written publishing and subscribing
// without any flow control.

// flowMessages take about as long as a round does.
const flowMessages = 200_000

func streamScenario(name, opName string) scenario {
	return scenario{
		name: name,
		about: fmt.Sprintf("%d messages of %d bytes in one stream, each checked. plain is hand-written nats.go: publish,\n"+
			"subscribe and the same marshalling, and nothing that keeps the writer from running away.", flowMessages, payloadBytes),
		run: func(ctx context.Context, s *settings) (int, error) { return runStream(ctx, s, opName) },
	}
}

func runStream(ctx context.Context, s *settings, opName string) (int, error) {
	g := newGroup(ctx)
	defer g.stop()
	nats := g.start("nats", "")
	race := flowRace{nats: nats, pair: [2]contender{
		{name: plainName, service: g.start("plain-source", nats.url), client: g.start("plain-reader", nats.url)},
		{name: aegisName, service: g.start("stream-service", nats.url), client: g.start("stream-client", nats.url)},
	}}
	if g.err != nil {
		return 0, g.err
	}
	flow := child.Flow{Messages: flowMessages, Bytes: payloadBytes}
	race.flows = [2]child.Flow{flow, flow}
	got, err := race.run(s, opName)
	if err != nil {
		return 0, err
	}
	got.print("messages/s")
	v := newVerdicts(os.Stdout, "aegis / plain, median (lowest..highest) of the rounds' ratios")
	v.judge("messages/s", median(got.rate), got.rate.String(), atLeast(0.8))
	v.judge("CPU per message", median(got.cpu), got.cpu.String(), atMost(1.5))
	return v.done(), nil
}

func bidiScenario(callers int) scenario {
	return scenario{
		name: fmt.Sprintf("bidi-%d", callers),
		about: fmt.Sprintf("%d callers, %d bytes each way: a message and its answer on an open stream, against a unary call of\n"+
			"the same service.", callers, payloadBytes),
		run: func(ctx context.Context, s *settings) (int, error) { return runBidi(ctx, s, callers) },
	}
}

func runBidi(ctx context.Context, s *settings, callers int) (int, error) {
	g := newGroup(ctx)
	defer g.stop()
	nats := g.start("nats", "")
	g.start("stream-service", nats.url)
	client := g.start("stream-client", nats.url)
	if g.err != nil {
		return 0, g.err
	}
	names := [2]string{opLoad, opChat}
	var ratio, p99 spread
	for n := range s.warmups + s.rounds {
		var round [2]loadResult
		for i := range names {
			who := (i + n) % len(names)
			o := loadOrder{Callers: callers, Time: s.roundTime, Deadline: deadlineNone}
			if err := client.ask(names[who], o, o.Time+callTimeout, &round[who]); err != nil {
				return 0, err
			}
		}
		if n >= s.warmups {
			ratio = append(ratio, float64(round[1].Calls)/round[1].Elapsed.Seconds()/(float64(round[0].Calls)/round[0].Elapsed.Seconds()))
			p99 = append(p99, float64(round[1].P99)/float64(round[0].P99))
		}
	}
	v := newVerdicts(os.Stdout, "stream / unary, median (lowest..highest) of the rounds' ratios")
	v.judge("messages/s", median(ratio), ratio.String(), atLeast(0.95))
	v.judge("p99", median(p99), p99.String(), atMost(1.1))
	return v.done(), nil
}
