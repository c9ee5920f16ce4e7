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

const (
	slowCapacity = roles.SlowBound * int(time.Second/roles.SlowTime)
	floodFactor  = 10
	recoveryTime = 2 * time.Second
)

// floodScenario offers a service ten times what it can do.
func floodScenario() Scenario {
	return Scenario{
		Name: "flood",
		About: fmt.Sprintf("A handler that takes %v, %d at a time (%d calls/s), is offered %d times that,\n"+
			"whether it answers or not; beside it, a few callers of the generated client call now and then.",
			roles.SlowTime, roles.SlowBound, slowCapacity, floodFactor),
		Run: runFlood,
	}
}

func runFlood(ctx context.Context, s *Settings) (int, error) {
	g := crew.New(ctx)
	defer g.Stop()
	nats := g.Start("nats", "")
	g.Start("slow-service", nats.URL)
	client := g.Start("flood-client", nats.URL)
	if g.Err != nil {
		return 0, g.Err
	}
	gentle := load.Order{Callers: roles.SlowBound, Time: recoveryTime}
	var before, after load.Result
	if err := client.Ask(roles.OpLoad, gentle, gentle.Time, &before); err != nil {
		return 0, fmt.Errorf("before the flood: %w", err)
	}
	var got load.FloodResult
	if err := client.Ask(roles.OpFlood, load.FloodOrder{Rate: floodFactor * slowCapacity, Time: s.FloodTime}, 2*s.FloodTime+load.Settle, &got); err != nil {
		return 0, err
	}
	if err := client.Ask(roles.OpLoad, gentle, gentle.Time, &after); err != nil {
		return 0, fmt.Errorf("after the flood, with as many callers as may run: %w", err)
	}
	printFlood(&got, &before)
	return judgeFlood(&got, &before, &after), nil
}

func printFlood(got *load.FloodResult, before *load.Result) {
	fmt.Printf("\nOffered %d calls in %v; answers had a p99 of %.1f ms before the flood.\n\n",
		got.Offered, got.Elapsed.Round(time.Millisecond), millis(before.P99))
	t := figures.NewTable(os.Stdout)
	figures.Row(t, "calls of", "answered", "refused", "no answer", "wrong", "refusals: p50 ms", "p99 ms", "answers: p99 ms")
	figures.Row(t, "---", "---:", "---:", "---:", "---:", "---:", "---:", "---:")
	for _, side := range []struct {
		name string
		out  *load.Outcomes
	}{{"the flood", &got.Flood}, {"the generated client", &got.Gentle}} {
		o := side.out
		figures.Row(t, side.name, strconv.Itoa(o.Answered), strconv.Itoa(o.Refused), strconv.Itoa(o.Lost), strconv.Itoa(o.Wrong),
			fmt.Sprintf("%.1f", millis(o.P50Refusal)), fmt.Sprintf("%.1f", millis(o.P99Refusal)), fmt.Sprintf("%.1f", millis(o.P99Answer)))
		if o.Example != "" {
			defer fmt.Printf("\nOne of the wrong answers to %s: %s\n", side.name, o.Example)
		}
	}
	_ = t.Flush()
	fmt.Println()
}

func judgeFlood(got *load.FloodResult, before, after *load.Result) int {
	rate := func(r *load.Result) float64 { return float64(r.Calls) / r.Elapsed.Seconds() }
	seconds := got.Elapsed.Seconds()
	refusals := max(got.Flood.P99Refusal, got.Gentle.P99Refusal)
	failed := got.Flood.Lost + got.Flood.Wrong + got.Gentle.Lost + got.Gentle.Wrong
	v := figures.NewVerdicts(os.Stdout, "flood")
	show := func(what string, value float64, format string, t figures.Target) {
		v.Judge(what, value, fmt.Sprintf(format, value), t)
	}
	show("offered / capacity", float64(got.Offered)/seconds/float64(slowCapacity), "%.1f", figures.AtLeast(floodFactor*0.95))
	show("p99 of the refusals, ms, the worse of both", millis(refusals), "%.1f", figures.AtMost(50))
	show("calls without an answer, or with a wrong one", float64(failed), "%.0f", figures.AtMost(0))
	show("goodput / capacity", float64(got.Flood.Answered+got.Gentle.Answered)/seconds/float64(slowCapacity), "%.2f", figures.AtLeast(0.8))
	show("calls/s right after the flood / before it", rate(after)/rate(before), "%.2f", figures.AtLeast(0.95))
	return v.Done()
}

func millis(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }
