package main

import (
	"context"
	"fmt"
	"os"
	"time"
)

// What streams cost that do nothing, or that nobody reads.

// idleStreams is how many streams are open on which nothing happens.
const idleStreams = 10_000

func idleScenario() scenario {
	return scenario{
		name: "streams-idle",
		about: fmt.Sprintf("%d open streams of one connection on which nothing happens, and unary calls of 64 callers beside\n"+
			"them, against the same calls without them.", idleStreams),
		run: runIdle,
	}
}

func runIdle(ctx context.Context, s *settings) (int, error) {
	g := newGroup(ctx)
	defer g.stop()
	nats := g.start("nats", "")
	service, holder, client := g.start("stream-service", nats.url), g.start("stream-client", nats.url), g.start("stream-client", nats.url)
	if g.err != nil {
		return 0, g.err
	}
	var before, after [2]uint64
	rate := func() (float64, error) {
		var rates spread
		for range s.rounds {
			var got loadResult
			o := loadOrder{Callers: 64, Time: s.roundTime, Deadline: deadlineNone}
			if err := client.ask(opLoad, o, o.Time+callTimeout, &got); err != nil {
				return 0, err
			}
			rates = append(rates, float64(got.Calls)/got.Elapsed.Seconds())
		}
		return median(rates), nil
	}
	measure := func(to *[2]uint64) error {
		for i, p := range []*process{service, holder} {
			if err := p.ask(opMemory, struct{}{}, 0, &to[i]); err != nil {
				return err
			}
		}
		return nil
	}
	alone, err := rate()
	if err != nil {
		return 0, err
	}
	if err := measure(&before); err != nil {
		return 0, err
	}
	if err := holder.ask(opIdle, idleStreams, time.Minute, nil); err != nil {
		return 0, err
	}
	beside, err := rate()
	if err != nil {
		return 0, err
	}
	if err := measure(&after); err != nil {
		return 0, err
	}
	v := newVerdicts(os.Stdout, fmt.Sprintf("%d idle streams", idleStreams))
	for i, name := range []string{"server", "client"} {
		mb := (float64(after[i]) - float64(before[i])) / megabyte
		v.judge("memory of the "+name+", MB", mb, fmt.Sprintf("%.1f", mb), atMost(100))
	}
	v.judge("calls/s beside them / without", beside/alone, fmt.Sprintf("%.2f", beside/alone), atLeast(0.95))
	return v.done(), nil
}

func slowScenario() scenario {
	return scenario{
		name:  "slow-reader",
		about: "One message a second is read of a stream that offers as many as it can; the most memory of both sides meanwhile.",
		run:   runSlow,
	}
}

func runSlow(ctx context.Context, s *settings) (int, error) {
	g := newGroup(ctx)
	defer g.stop()
	nats := g.start("nats", "")
	service, client := g.start("stream-service", nats.url), g.start("stream-client", nats.url)
	if g.err != nil {
		return 0, g.err
	}
	var before, most [2]uint64
	for i, p := range []*process{service, client} {
		if err := p.ask(opMemory, struct{}{}, 0, &before[i]); err != nil {
			return 0, err
		}
	}
	var got slowResult
	reading := make(chan error, 1)
	go func() { reading <- client.ask(opSlow, s.slowTime, s.slowTime, &got) }()
	for {
		select {
		case err := <-reading:
			if err != nil {
				return 0, err
			}
			most[1] = got.Memory
			v := newVerdicts(os.Stdout, fmt.Sprintf("%d messages read in %v", got.Read, s.slowTime))
			for i, name := range []string{"server", "client"} {
				grown := (float64(most[i]) - float64(before[i])) / megabyte
				v.judge("memory grown at the "+name+", at most, MB", grown, fmt.Sprintf("%.1f", grown), atMost(10))
			}
			return v.done(), nil
		case <-time.After(time.Second):
			var now uint64
			if err := service.ask(opMemory, struct{}{}, 0, &now); err != nil {
				return 0, err
			}
			most[0] = max(most[0], now)
		}
	}
}
