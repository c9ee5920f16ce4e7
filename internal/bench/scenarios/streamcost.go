package scenarios

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/aegisrpc/aegis/internal/bench/crew"
	"github.com/aegisrpc/aegis/internal/bench/figures"
	"github.com/aegisrpc/aegis/internal/bench/load"
	"github.com/aegisrpc/aegis/internal/bench/roles"
)

// What streams cost that do nothing, or that nobody reads.

// idleStreams is how many streams are open on which nothing happens.
const idleStreams = 10_000

func idleScenario() Scenario {
	return Scenario{
		Name: "streams-idle",
		About: fmt.Sprintf("%d open streams of one connection on which nothing happens, and unary calls of 64 callers beside\n"+
			"them, against the same calls without them.", idleStreams),
		Run: runIdle,
	}
}

func runIdle(ctx context.Context, s *Settings) (int, error) {
	g := crew.New(ctx)
	defer g.Stop()
	nats := g.Start("nats", "")
	service, holder, client := g.Start("stream-service", nats.URL), g.Start("stream-client", nats.URL), g.Start("stream-client", nats.URL)
	if g.Err != nil {
		return 0, g.Err
	}
	var before, after [2]uint64
	rate := func() (float64, error) {
		var rates figures.Spread
		for range s.Rounds {
			var got load.Result
			o := load.Order{Callers: 64, Time: s.RoundTime, Deadline: load.DeadlineNone}
			if err := client.Ask(roles.OpLoad, o, o.Time+load.CallTimeout, &got); err != nil {
				return 0, err
			}
			rates = append(rates, float64(got.Calls)/got.Elapsed.Seconds())
		}
		return figures.Median(rates), nil
	}
	measure := func(to *[2]uint64) error {
		for i, p := range []*crew.Process{service, holder} {
			if err := p.Ask(roles.OpMemory, struct{}{}, 0, &to[i]); err != nil {
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
	if err := holder.Ask(roles.OpIdle, idleStreams, time.Minute, nil); err != nil {
		return 0, err
	}
	beside, err := rate()
	if err != nil {
		return 0, err
	}
	if err := measure(&after); err != nil {
		return 0, err
	}
	v := figures.NewVerdicts(os.Stdout, fmt.Sprintf("%d idle streams", idleStreams))
	for i, name := range []string{"server", "client"} {
		mb := (float64(after[i]) - float64(before[i])) / roles.Megabyte
		v.Judge("memory of the "+name+", MB", mb, fmt.Sprintf("%.1f", mb), figures.AtMost(100))
	}
	v.Judge("calls/s beside them / without", beside/alone, fmt.Sprintf("%.2f", beside/alone), figures.AtLeast(0.95))
	return v.Done(), nil
}

func slowScenario() Scenario {
	return Scenario{
		Name:  "slow-reader",
		About: "One message a second is read of a stream that offers as many as it can; the most memory of both sides meanwhile.",
		Run:   runSlow,
	}
}

func runSlow(ctx context.Context, s *Settings) (int, error) {
	g := crew.New(ctx)
	defer g.Stop()
	nats := g.Start("nats", "")
	service, client := g.Start("stream-service", nats.URL), g.Start("stream-client", nats.URL)
	if g.Err != nil {
		return 0, g.Err
	}
	var before, most [2]uint64
	for i, p := range []*crew.Process{service, client} {
		if err := p.Ask(roles.OpMemory, struct{}{}, 0, &before[i]); err != nil {
			return 0, err
		}
	}
	var got roles.SlowResult
	reading := make(chan error, 1)
	go func() { reading <- client.Ask(roles.OpSlow, s.SlowTime, s.SlowTime, &got) }()
	for {
		select {
		case err := <-reading:
			if err != nil {
				return 0, err
			}
			most[1] = got.Memory
			v := figures.NewVerdicts(os.Stdout, fmt.Sprintf("%d messages read in %v", got.Read, s.SlowTime))
			for i, name := range []string{"server", "client"} {
				grown := (float64(most[i]) - float64(before[i])) / roles.Megabyte
				v.Judge("memory grown at the "+name+", at most, MB", grown, fmt.Sprintf("%.1f", grown), figures.AtMost(10))
			}
			return v.Done(), nil
		case <-time.After(time.Second):
			var now uint64
			if err := service.Ask(roles.OpMemory, struct{}{}, 0, &now); err != nil {
				return 0, err
			}
			most[0] = max(most[0], now)
		}
	}
}
