package scenarios

import (
	"context"
	"fmt"
	"os"

	"github.com/aegisrpc/aegis/internal/bench/crew"
	"github.com/aegisrpc/aegis/internal/bench/figures"
	"github.com/aegisrpc/aegis/internal/bench/load"
	"github.com/aegisrpc/aegis/internal/bench/roles"
)

// When a broadcast ends, against when its slowest reply comes.

func broadcastScenario() Scenario {
	return Scenario{
		Name: fmt.Sprintf("broadcast-%d", roles.AllInstances),
		About: fmt.Sprintf("A broadcast to %d instances, of which each takes 1 ms longer than the one before; plain publishes a\n"+
			"request and is told in advance how many replies will come.", roles.AllInstances),
		Run: runBroadcast,
	}
}

func runBroadcast(ctx context.Context, s *Settings) (int, error) {
	g := crew.New(ctx)
	defer g.Stop()
	nats := g.Start("nats", "")
	g.Start("plain-all", nats.URL)
	g.Start("all-services", nats.URL)
	pair := [2]*crew.Process{g.Start("plain-asker", nats.URL), g.Start("all-client", nats.URL)}
	if g.Err != nil {
		return 0, g.Err
	}
	rounds, err := takeTurns(s, len(pair), func(who int) (got roles.TellResult, err error) {
		err = pair[who].Ask(roles.OpTell, struct{}{}, load.CallTimeout, &got)
		return got, err
	})
	if err != nil {
		return 0, err
	}
	var own, plain, times figures.Spread
	for _, r := range rounds {
		own = append(own, r[1].End.Seconds()/r[1].Slowest.Seconds())
		plain = append(plain, r[1].End.Seconds()/r[0].Slowest.Seconds())
		times = append(times, millis(r[1].End))
	}
	fmt.Printf("\nThe end came after %v ms.\n\n", times)
	v := figures.NewVerdicts(os.Stdout, "broadcast, median (lowest..highest) of the rounds' ratios")
	v.Judge("the end / the slowest reply", figures.Median(own), own.String(), figures.AtMost(1.2))
	v.Judge("the end / the slowest reply to plain", figures.Median(plain), plain.String(), figures.AtMost(1.2))
	return v.Done(), nil
}
