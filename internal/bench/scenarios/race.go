package scenarios

import (
	"fmt"
	"os"

	"github.com/aegisrpc/aegis/internal/bench/child"
	"github.com/aegisrpc/aegis/internal/bench/crew"
	"github.com/aegisrpc/aegis/internal/bench/figures"
	"github.com/aegisrpc/aegis/internal/bench/load"
)

// flowRace has two contenders carry messages in turns. The second one is compared
// with the first.
type flowRace struct {
	nats  *crew.Process
	pair  [2]contender
	flows [2]child.Flow // what each carries in a round
}

// carried holds the figures of one contender in one round.
type carried struct {
	rate   float64 // messages a second
	cpu    float64 // seconds per message, of all processes
	allocs float64 // per message, of the client
}

// flowFigures holds the figures of all rounds.
type flowFigures struct {
	race      *flowRace
	rounds    [][]carried
	rate, cpu figures.Spread // ratios of the second to the first
}

func (r *flowRace) run(s *Settings, opName string) (*flowFigures, error) {
	rounds, err := takeTurns(s, len(r.pair), func(who int) (carried, error) { return r.carry(who, opName) })
	return &flowFigures{
		race: r, rounds: rounds,
		rate: ratios(rounds, 1, func(c carried) float64 { return c.rate }),
		cpu:  ratios(rounds, 1, func(c carried) float64 { return c.cpu }),
	}, err
}

// carry has one contender carry its messages.
func (r *flowRace) carry(who int, opName string) (carried, error) {
	c := &r.pair[who]
	var got child.FlowResult
	before, err := crew.CPUOf(r.nats, c.service)
	if err != nil {
		return carried{}, err
	}
	if err := c.client.Ask(opName, r.flows[who], load.CallTimeout, &got); err != nil {
		return carried{}, err
	}
	after, err := crew.CPUOf(r.nats, c.service)
	if err != nil {
		return carried{}, err
	}
	cpu := got.CPU + after[0] - before[0] + after[1] - before[1]
	messages := float64(r.flows[who].Messages)
	return carried{rate: messages / got.Elapsed.Seconds(), cpu: cpu.Seconds() / messages, allocs: got.Allocs}, nil
}

// print prints the absolute figures.
func (f *flowFigures) print(unit string) {
	t := figures.NewTable(os.Stdout)
	figures.Row(t, "median of the rounds", unit, "client allocations per message")
	figures.Row(t, "---", "---:", "---:")
	for who, c := range f.race.pair {
		rate := valuesOf(f.rounds, who, func(c carried) float64 { return c.rate })
		allocs := valuesOf(f.rounds, who, func(c carried) float64 { return c.allocs })
		figures.Row(t, c.name, fmt.Sprintf("%.0f", figures.Median(rate)), fmt.Sprintf("%.1f", figures.Median(allocs)))
	}
	_ = t.Flush()
	fmt.Println()
}
