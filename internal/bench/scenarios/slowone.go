package scenarios

import (
	"context"
	"fmt"
	"os"
	"strconv"

	"github.com/aegisrpc/aegis/internal/bench/figures"
	"github.com/aegisrpc/aegis/internal/bench/load"
	"github.com/aegisrpc/aegis/internal/bench/roles"
)

// slowOneScenario looks at what one slow instance does to the callers.
func slowOneScenario() Scenario {
	const callers = 256
	return Scenario{
		Name: "slow-one",
		About: fmt.Sprintf("One of %d instances takes %v. The rate is half of what %d callers reach by queue group; calls\n"+
			"are made when they are due, whether earlier ones have ended or not, and measured from then.",
			directedInstances, roles.LateTime, callers),
		Run: func(ctx context.Context, s *Settings) (int, error) { return runSlowOne(ctx, s, callers) },
	}
}

func runSlowOne(ctx context.Context, s *Settings, callers int) (int, error) {
	services := []string{"late-service"}
	for range directedInstances - 1 {
		services = append(services, "aegis-service")
	}
	f, err := startDirectedField(ctx, services)
	if err != nil {
		return 0, err
	}
	defer f.group.Stop()
	rate, err := f.saturate(s, callers)
	if err != nil {
		return 0, err
	}
	fmt.Printf("\nThe queue group saturates at %.0f calls/s.\n\n", rate)
	failed := 0
	rounds, err := takeTurns(s, len(f.clients), func(who int) (got load.PacedResult, err error) {
		o := load.PacedOrder{Rate: int(rate / 2), Time: s.RoundTime}
		err = f.clients[who].Ask(roles.OpPaced, o, o.Time+load.CallTimeout, &got)
		if failed += got.Failed; got.Example != "" {
			fmt.Printf("%d calls by %s failed, one with: %s\n", got.Failed, f.names[who], got.Example)
		}
		return got, err
	})
	if err != nil {
		return 0, err
	}
	v := figures.NewVerdicts(os.Stdout, "slow one, median (lowest..highest) of the rounds, ms")
	for i, name := range f.names {
		p50 := valuesOf(rounds, i, func(r load.PacedResult) float64 { return millis(r.P50) })
		p99 := valuesOf(rounds, i, func(r load.PacedResult) float64 { return millis(r.P99) })
		limit := map[string]figures.Target{"queue group": figures.AtLeast(millis(roles.LateTime)), "least loaded": figures.AtMost(3)}
		if t, judged := limit[name]; judged {
			v.Judge("p99 by "+name, figures.Median(p99), p99.String(), t)
		}
		fmt.Printf("%s: p50 %.2f ms, p99 %.2f ms\n", name, figures.Median(p50), figures.Median(p99))
	}
	fmt.Println()
	v.Judge("calls that failed", float64(failed), strconv.Itoa(failed), figures.AtMost(0))
	return v.Done(), nil
}

// saturate returns how many calls a second the queue group does at most.
func (f *directedField) saturate(s *Settings, callers int) (float64, error) {
	rounds, err := takeTurns(s, 1, func(int) (*callFigures, error) {
		return measureLoad(f.clients[0], load.Order{Callers: callers, Time: s.RoundTime, Deadline: load.DeadlineNone}, f.nats, f.services...)
	})
	return figures.Median(valuesOf(rounds, 0, (*callFigures).rate)), err
}
