package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
)

// slowOneScenario looks at what one slow instance does to the callers.
func slowOneScenario() scenario {
	const callers = 256
	return scenario{
		name: "slow-one",
		about: fmt.Sprintf("One of %d instances takes %v. The rate is half of what %d callers reach by queue group; calls\n"+
			"are made when they are due, whether earlier ones have ended or not, and measured from then.",
			directedInstances, lateTime, callers),
		run: func(ctx context.Context, s *settings) (int, error) { return runSlowOne(ctx, s, callers) },
	}
}

func runSlowOne(ctx context.Context, s *settings, callers int) (int, error) {
	services := []string{"late-service"}
	for range directedInstances - 1 {
		services = append(services, "aegis-service")
	}
	f, err := startDirectedField(ctx, services)
	if err != nil {
		return 0, err
	}
	defer f.group.stop()
	rate, err := f.saturate(s, callers)
	if err != nil {
		return 0, err
	}
	fmt.Printf("\nThe queue group saturates at %.0f calls/s.\n\n", rate)
	p50, p99 := make([][]float64, len(f.clients)), make([][]float64, len(f.clients))
	failed := 0
	for n := range s.warmups + s.rounds {
		for i := range f.clients {
			who := (i + n) % len(f.clients)
			var got pacedResult
			o := pacedOrder{Rate: int(rate / 2), Time: s.roundTime}
			if err := f.clients[who].ask(opPaced, o, o.Time+callTimeout, &got); err != nil {
				return 0, err
			}
			if failed += got.Failed; got.Example != "" {
				fmt.Printf("%d calls by %s failed, one with: %s\n", got.Failed, f.names[who], got.Example)
			}
			if n >= s.warmups {
				p50[who] = append(p50[who], millis(got.P50))
				p99[who] = append(p99[who], millis(got.P99))
			}
		}
	}
	v := newVerdicts(os.Stdout, "slow one, median (lowest..highest) of the rounds, ms")
	for i, name := range f.names {
		limit := map[string]target{"queue group": atLeast(millis(lateTime)), "least loaded": atMost(3)}
		if t, judged := limit[name]; judged {
			v.judge("p99 by "+name, median(p99[i]), spread(p99[i]).String(), t)
		}
		fmt.Printf("%s: p50 %.2f ms, p99 %.2f ms\n", name, median(p50[i]), median(p99[i]))
	}
	fmt.Println()
	v.judge("calls that failed", float64(failed), strconv.Itoa(failed), atMost(0))
	return v.done(), nil
}

// saturate returns how many calls a second the queue group does at most.
func (f *directedField) saturate(s *settings, callers int) (float64, error) {
	var rates []float64
	for n := range s.warmups + s.rounds {
		got, err := measureLoad(f.clients[0], loadOrder{Callers: callers, Time: s.roundTime, Deadline: deadlineNone}, f.nats, f.services...)
		if err != nil {
			return 0, err
		}
		if n >= s.warmups {
			rates = append(rates, got.rate())
		}
	}
	return median(rates), nil
}
