package scenarios

import (
	"context"
	"fmt"
	"os"

	"github.com/aegisrpc/aegis/internal/bench/child"
	"github.com/aegisrpc/aegis/internal/bench/crew"
	"github.com/aegisrpc/aegis/internal/bench/figures"
	"github.com/aegisrpc/aegis/internal/bench/roles"
)

// One unary message that is far larger than NATS takes, against as many bytes in
// messages of nats.go.

func largeScenario(name, opName string) Scenario {
	return Scenario{
		Name: name,
		About: fmt.Sprintf("A unary %s of %d MB in chunks, against as many messages of 1 MB that nats.go publishes and subscribes\n"+
			"to, without marshalling, checksums or flow control.", opName, roles.LargeParts),
		Run: func(ctx context.Context, s *Settings) (int, error) { return runLarge(ctx, s, opName) },
	}
}

func runLarge(ctx context.Context, s *Settings, opName string) (int, error) {
	g := crew.New(ctx)
	defer g.Stop()
	nats := g.Start("nats", "")
	race := flowRace{nats: nats, pair: [2]contender{
		{name: plainName, service: g.Start("plain-large", nats.URL), client: g.Start("plain-taker", nats.URL)},
		{name: aegisName, service: g.Start("large-service", nats.URL), client: g.Start("large-client", nats.URL)},
	}}
	if g.Err != nil {
		return 0, g.Err
	}
	flow := child.Flow{Messages: roles.LargeParts, Bytes: roles.PartBytes}
	race.flows = [2]child.Flow{flow, flow}
	got, err := race.run(s, opName)
	if err != nil {
		return 0, err
	}
	got.print("MB/s")
	v := figures.NewVerdicts(os.Stdout, "aegis / plain, median (lowest..highest) of the rounds' ratios")
	v.Judge("MB/s", figures.Median(got.rate), got.rate.String(), figures.AtLeast(0.5))
	return v.Done(), nil
}
