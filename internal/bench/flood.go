package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"time"
)

const (
	slowCapacity = slowBound * int(time.Second/slowTime)
	floodFactor  = 10
	recoveryTime = 2 * time.Second
)

// floodScenario offers a service ten times what it can do.
func floodScenario() scenario {
	return scenario{
		name: "flood",
		about: fmt.Sprintf("A handler that takes %v, %d at a time (%d calls/s), is offered %d times that,\n"+
			"whether it answers or not; beside it, a few callers of the generated client call now and then.",
			slowTime, slowBound, slowCapacity, floodFactor),
		run: runFlood,
	}
}

func runFlood(ctx context.Context, s *settings) (int, error) {
	g := newGroup(ctx)
	defer g.stop()
	nats := g.start("nats", "")
	g.start("slow-service", nats.url)
	client := g.start("flood-client", nats.url)
	if g.err != nil {
		return 0, g.err
	}
	gentle := loadOrder{Callers: slowBound, Time: recoveryTime}
	var before, after loadResult
	if err := client.ask(opLoad, gentle, gentle.Time, &before); err != nil {
		return 0, fmt.Errorf("before the flood: %w", err)
	}
	var got offerResult
	if err := client.ask(opFlood, offerOrder{Rate: floodFactor * slowCapacity, Time: s.floodTime}, 2*s.floodTime+offerSettle, &got); err != nil {
		return 0, err
	}
	if err := client.ask(opLoad, gentle, gentle.Time, &after); err != nil {
		return 0, fmt.Errorf("after the flood, with as many callers as may run: %w", err)
	}
	printFlood(&got, &before)
	return judgeFlood(&got, &before, &after), nil
}

func printFlood(got *offerResult, before *loadResult) {
	fmt.Printf("\nOffered %d calls in %v; answers had a p99 of %.1f ms before the flood.\n\n",
		got.Offered, got.Elapsed.Round(time.Millisecond), millis(before.P99))
	t := newTable(os.Stdout)
	row(t, "calls of", "answered", "refused", "no answer", "wrong", "refusals: p50 ms", "p99 ms", "answers: p99 ms")
	row(t, "---", "---:", "---:", "---:", "---:", "---:", "---:", "---:")
	for _, side := range []struct {
		name string
		out  *outcomes
	}{{"the flood", &got.Flood}, {"the generated client", &got.Gentle}} {
		o := side.out
		row(t, side.name, strconv.Itoa(o.Answered), strconv.Itoa(o.Refused), strconv.Itoa(o.Lost), strconv.Itoa(o.Wrong),
			fmt.Sprintf("%.1f", millis(o.P50Refusal)), fmt.Sprintf("%.1f", millis(o.P99Refusal)), fmt.Sprintf("%.1f", millis(o.P99Answer)))
		if o.Example != "" {
			defer fmt.Printf("\nOne of the wrong answers to %s: %s\n", side.name, o.Example)
		}
	}
	_ = t.Flush()
	fmt.Println()
}

func judgeFlood(got *offerResult, before, after *loadResult) int {
	rate := func(r *loadResult) float64 { return float64(r.Calls) / r.Elapsed.Seconds() }
	seconds := got.Elapsed.Seconds()
	refusals := max(got.Flood.P99Refusal, got.Gentle.P99Refusal)
	failed := got.Flood.Lost + got.Flood.Wrong + got.Gentle.Lost + got.Gentle.Wrong
	v := newVerdicts(os.Stdout, "flood")
	show := func(what string, value float64, format string, t target) {
		v.judge(what, value, fmt.Sprintf(format, value), t)
	}
	show("offered / capacity", float64(got.Offered)/seconds/float64(slowCapacity), "%.1f", atLeast(floodFactor*0.95))
	show("p99 of the refusals, ms, the worse of both", millis(refusals), "%.1f", atMost(50))
	show("calls without an answer, or with a wrong one", float64(failed), "%.0f", atMost(0))
	show("goodput / capacity", float64(got.Flood.Answered+got.Gentle.Answered)/seconds/float64(slowCapacity), "%.2f", atLeast(0.8))
	show("calls/s right after the flood / before it", rate(after)/rate(before), "%.2f", atLeast(0.95))
	return v.done()
}

func millis(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }
