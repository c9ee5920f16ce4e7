package main

import (
	"context"
	"fmt"
	"os"

	"github.com/aegisrpc/aegis/internal/bench/child"
)

// One unary message that is far larger than NATS takes, against as many bytes in
// messages of nats.go.

func largeScenario(name, opName string) scenario {
	return scenario{
		name: name,
		about: fmt.Sprintf("A unary %s of %d MB in chunks, against as many messages of 1 MB that nats.go publishes and subscribes\n"+
			"to, without marshalling, checksums or flow control.", opName, largeParts),
		run: func(ctx context.Context, s *settings) (int, error) { return runLarge(ctx, s, opName) },
	}
}

func runLarge(ctx context.Context, s *settings, opName string) (int, error) {
	g := newGroup(ctx)
	defer g.stop()
	nats := g.start("nats", "")
	race := flowRace{nats: nats, pair: [2]contender{
		{name: plainName, service: g.start("plain-large", nats.url), client: g.start("plain-taker", nats.url)},
		{name: aegisName, service: g.start("large-service", nats.url), client: g.start("large-client", nats.url)},
	}}
	if g.err != nil {
		return 0, g.err
	}
	flow := child.Flow{Messages: largeParts, Bytes: partBytes}
	race.flows = [2]child.Flow{flow, flow}
	got, err := race.run(s, opName)
	if err != nil {
		return 0, err
	}
	got.print("MB/s")
	v := newVerdicts(os.Stdout, "aegis / plain, median (lowest..highest) of the rounds' ratios")
	v.judge("MB/s", median(got.rate), got.rate.String(), atLeast(0.5))
	return v.done(), nil
}
