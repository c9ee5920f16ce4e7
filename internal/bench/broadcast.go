package main

import (
	"context"
	"fmt"
	"os"
)

// When a broadcast ends, against when its slowest reply comes.

func broadcastScenario() scenario {
	return scenario{
		name: fmt.Sprintf("broadcast-%d", allInstances),
		about: fmt.Sprintf("A broadcast to %d instances, of which each takes 1 ms longer than the one before; plain publishes a\n"+
			"request and is told in advance how many replies will come.", allInstances),
		run: runBroadcast,
	}
}

func runBroadcast(ctx context.Context, s *settings) (int, error) {
	g := newGroup(ctx)
	defer g.stop()
	nats := g.start("nats", "")
	g.start("plain-all", nats.url)
	g.start("all-services", nats.url)
	pair := [2]*process{g.start("plain-asker", nats.url), g.start("all-client", nats.url)}
	if g.err != nil {
		return 0, g.err
	}
	var own, plain, times spread
	for n := range s.warmups + s.rounds {
		var round [2]tellResult
		for i := range pair {
			who := (i + n) % len(pair)
			if err := pair[who].ask(opTell, struct{}{}, callTimeout, &round[who]); err != nil {
				return 0, err
			}
		}
		if n >= s.warmups {
			own = append(own, round[1].End.Seconds()/round[1].Slowest.Seconds())
			plain = append(plain, round[1].End.Seconds()/round[0].Slowest.Seconds())
			times = append(times, millis(round[1].End))
		}
	}
	fmt.Printf("\nThe end came after %v ms.\n\n", times)
	v := newVerdicts(os.Stdout, "broadcast, median (lowest..highest) of the rounds' ratios")
	v.judge("the end / the slowest reply", median(own), own.String(), atMost(1.2))
	v.judge("the end / the slowest reply to plain", median(plain), plain.String(), atMost(1.2))
	return v.done(), nil
}
