package scenarios

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/aegisrpc/aegis/internal/bench/crew"
	"github.com/aegisrpc/aegis/internal/bench/figures"
	"github.com/aegisrpc/aegis/internal/bench/load"
	"github.com/aegisrpc/aegis/internal/bench/roles"
)

// unaryTargets holds the targets for one number of callers.
type unaryTargets struct {
	rate, headerRate, p99, cpu   figures.Target
	allocations, headerAllocated figures.Target
}

func unaryTargetsAt1() unaryTargets {
	return unaryTargets{figures.AtLeast(0.93), figures.AtLeast(0.93), figures.AtMost(1.1), figures.AtMost(1.05), figures.AtMost(8), figures.AtMost(11)}
}

func unaryTargetsAt64() unaryTargets {
	return unaryTargets{figures.AtLeast(1.25), figures.AtLeast(1.15), figures.AtMost(1.0), figures.AtMost(0.88), figures.AtMost(8), figures.AtMost(11)}
}

// unaryScenario compares calls of the generated client with hand-written ones.
func unaryScenario(callers int, t unaryTargets) Scenario {
	return Scenario{
		Name: fmt.Sprintf("unary-%d", callers),
		About: fmt.Sprintf("%d callers, %d bytes each way, every answer checked. plain is hand-written nats.go; aegis is\n"+
			"the generated code with the method's own timeout; +deadline with a context whose deadline is\n"+
			"another, so that it travels in a header; +WithTimeout with such a context made for each call.", callers, load.PayloadBytes),
		Run: func(ctx context.Context, s *Settings) (int, error) { return runUnary(ctx, s, callers, &t) },
	}
}

func runUnary(ctx context.Context, s *Settings, callers int, t *unaryTargets) (int, error) {
	f, err := startUnaryField(ctx)
	if err != nil {
		return 0, err
	}
	defer f.group.Stop()
	rounds, err := f.measure(s, callers)
	if err != nil {
		return 0, err
	}
	fmt.Printf("\n%d rounds of %v for each:\n\n", s.Rounds, s.RoundTime)
	f.print(rounds)
	return judgeUnary(rounds, t), nil
}

// contender is a pair of processes, and how its client is to call.
type contender struct {
	name            string
	client, service *crew.Process
	deadline        load.Deadline
}

const (
	plainName = "plain"
	aegisName = "aegis"
)

const (
	plainContender = iota
	aegisContender
	headerContender
	freshContender
	contenderCount
)

// unaryField holds the processes that take part.
type unaryField struct {
	group      *crew.Group
	nats       *crew.Process
	contenders [contenderCount]contender
}

func startUnaryField(ctx context.Context) (*unaryField, error) {
	g := crew.New(ctx)
	f := &unaryField{group: g, nats: g.Start("nats", "")}
	plain := contender{name: plainName, service: g.Start("plain-service", f.nats.URL), client: g.Start("plain-client", f.nats.URL)}
	aegis := contender{name: aegisName, service: g.Start("aegis-service", f.nats.URL), client: g.Start("aegis-client", f.nats.URL)}
	header, fresh := aegis, aegis
	header.name, header.deadline = "aegis +deadline", load.DeadlineOfCaller
	fresh.name, fresh.deadline = "aegis +WithTimeout", load.DeadlineOfCall
	f.contenders = [contenderCount]contender{plain, aegis, header, fresh}
	if g.Err != nil {
		g.Stop()
		return nil, g.Err
	}
	return f, nil
}

// callFigures holds the figures of one contender in one round.
type callFigures struct {
	load.Result
	clientCPU, serviceCPU, natsCPU float64 // µs per call
}

func (f *callFigures) rate() float64 { return float64(f.Calls) / f.Elapsed.Seconds() }
func (f *callFigures) cpu() float64  { return f.clientCPU + f.serviceCPU + f.natsCPU }

// measure has the contenders take turns, in the order of turns.
func (f *unaryField) measure(s *Settings, callers int) ([][]*callFigures, error) {
	return takeTurnsIn(s, turns, func(who int) (*callFigures, error) {
		c := &f.contenders[who]
		return f.measureOne(c, load.Order{Callers: callers, Time: s.RoundTime, Deadline: c.deadline})
	})
}

// turns returns the order of the n-th round. Each contender has every place once, and
// every second order is the reverse of the one before.
func turns(n int) []int {
	order := make([]int, contenderCount)
	for i := range order {
		order[i] = (i + n/2) % contenderCount
	}
	if n%2 == 1 {
		slices.Reverse(order)
	}
	return order
}

func (f *unaryField) measureOne(c *contender, o load.Order) (*callFigures, error) {
	return measureLoad(c.client, o, f.nats, c.service)
}

// measureLoad has a client call, and finds out what everybody used for it.
func measureLoad(client *crew.Process, o load.Order, nats *crew.Process, services ...*crew.Process) (*callFigures, error) {
	var got callFigures
	others := append([]*crew.Process{nats}, services...)
	before, err := crew.CPUOf(others...)
	if err != nil {
		return nil, err
	}
	if err := client.Ask(roles.OpLoad, o, o.Time+load.CallTimeout, &got.Result); err != nil {
		return nil, err
	}
	after, err := crew.CPUOf(others...)
	if err != nil {
		return nil, err
	}
	perCall := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 / float64(got.Calls) }
	got.natsCPU, got.clientCPU = perCall(after[0]-before[0]), perCall(got.CPU)
	for i := range services {
		got.serviceCPU += perCall(after[i+1] - before[i+1])
	}
	return &got, nil
}

func (f *unaryField) print(rounds [][]*callFigures) {
	var names []string
	for _, c := range f.contenders {
		names = append(names, c.name)
	}
	printFigures(names, rounds)
}

// printFigures prints a line for each contender; rounds have the callFigures of all.
func printFigures(names []string, rounds [][]*callFigures) {
	t := figures.NewTable(os.Stdout)
	figures.Row(t, "median of the rounds", "calls/s", "p50 µs", "p99 µs", "client allocations", "CPU µs/call: client", "service", "NATS", "sum")
	figures.Row(t, "---", "---:", "---:", "---:", "---:", "---:", "---:", "---:", "---:")
	for who := range names {
		of := func(figure func(*callFigures) float64, format string) string {
			return fmt.Sprintf(format, figures.Median(valuesOf(rounds, who, figure)))
		}
		figures.Row(t, names[who],
			of((*callFigures).rate, "%.0f"),
			of(func(f *callFigures) float64 { return micros(f.P50) }, "%.0f"),
			of(func(f *callFigures) float64 { return micros(f.P99) }, "%.0f"),
			of(func(f *callFigures) float64 { return f.Allocs }, "%.1f"),
			of(func(f *callFigures) float64 { return f.clientCPU }, "%.1f"),
			of(func(f *callFigures) float64 { return f.serviceCPU }, "%.1f"),
			of(func(f *callFigures) float64 { return f.natsCPU }, "%.1f"),
			of((*callFigures).cpu, "%.1f"))
	}
	_ = t.Flush()
	fmt.Println()
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }

func judgeUnary(rounds [][]*callFigures, t *unaryTargets) int {
	v := figures.NewVerdicts(os.Stdout, "aegis / plain, median (lowest..highest) of the rounds' ratios")
	ratio := func(what string, who int, figure func(*callFigures) float64, t figures.Target) {
		s := ratios(rounds, who, figure)
		v.Judge(what, figures.Median(s), s.String(), t)
	}
	allocations := func(what string, who int, t figures.Target) {
		n := figures.Median(valuesOf(rounds, who, func(f *callFigures) float64 { return f.Allocs }))
		v.Judge(what, n, fmt.Sprintf("%.1f", n), t)
	}
	p99 := func(f *callFigures) float64 { return float64(f.P99) }
	ratio("calls/s", aegisContender, (*callFigures).rate, t.rate)
	ratio("calls/s with +deadline", headerContender, (*callFigures).rate, t.headerRate)
	ratio("p99", aegisContender, p99, t.p99)
	ratio("p99 with +deadline", headerContender, p99, t.p99)
	ratio("CPU per call", aegisContender, (*callFigures).cpu, t.cpu)
	ratio("CPU per call with +deadline", headerContender, (*callFigures).cpu, t.cpu)
	allocations("client allocations per call", aegisContender, t.allocations)
	allocations("client allocations per call with +deadline", headerContender, t.headerAllocated)
	return v.Done()
}
