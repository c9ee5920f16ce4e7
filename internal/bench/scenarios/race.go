package scenarios

import (
	"fmt"
	"os"
	"time"

	"github.com/aegisrpc/aegis/internal/bench/crew"
	"github.com/aegisrpc/aegis/internal/bench/figures"
	"github.com/aegisrpc/aegis/internal/bench/load"

	"github.com/aegisrpc/aegis/internal/bench/child"
)

// flowRace has two contenders carry messages in turns. The first is what the
// second is compared with.
type flowRace struct {
	nats  *crew.Process
	pair  [2]contender
	flows [2]child.Flow // what each carries in a round
}

// flowFigures are those of all rounds.
type flowFigures struct {
	race          *flowRace
	rates, allocs [2]figures.Spread
	rate, cpu     figures.Spread // ratios of the second to the first, per message
}

func (r *flowRace) run(s *Settings, opName string) (*flowFigures, error) {
	f := &flowFigures{race: r}
	for n := range s.Warmups + s.Rounds {
		var rate, used, allocs [2]float64
		for i := range r.pair {
			who := (i + n) % len(r.pair)
			got, cpu, err := r.carry(who, opName)
			if err != nil {
				return nil, err
			}
			messages := float64(r.flows[who].Messages)
			rate[who], used[who], allocs[who] = messages/got.Elapsed.Seconds(), cpu.Seconds()/messages, got.Allocs
		}
		if n < s.Warmups {
			continue
		}
		for who := range r.pair {
			f.rates[who] = append(f.rates[who], rate[who])
			f.allocs[who] = append(f.allocs[who], allocs[who])
		}
		f.rate, f.cpu = append(f.rate, rate[1]/rate[0]), append(f.cpu, used[1]/used[0])
	}
	return f, nil
}

// carry returns what the client measured and the processor time of all.
func (r *flowRace) carry(who int, opName string) (*child.FlowResult, time.Duration, error) {
	c := &r.pair[who]
	var got child.FlowResult
	before, err := crew.CPUOf(r.nats, c.service)
	if err != nil {
		return nil, 0, err
	}
	if err := c.client.Ask(opName, r.flows[who], load.CallTimeout, &got); err != nil {
		return nil, 0, err
	}
	after, err := crew.CPUOf(r.nats, c.service)
	if err != nil {
		return nil, 0, err
	}
	return &got, got.CPU + after[0] - before[0] + after[1] - before[1], nil
}

// print prints the absolute figures.
func (f *flowFigures) print(unit string) {
	t := figures.NewTable(os.Stdout)
	figures.Row(t, "median of the rounds", unit, "client allocations per message")
	figures.Row(t, "---", "---:", "---:")
	for who, c := range f.race.pair {
		figures.Row(t, c.name, fmt.Sprintf("%.0f", figures.Median(f.rates[who])), fmt.Sprintf("%.1f", figures.Median(f.allocs[who])))
	}
	_ = t.Flush()
	fmt.Println()
}
