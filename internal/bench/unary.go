package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"
)

// unaryTargets are those of one number of callers.
type unaryTargets struct {
	rate, headerRate, p99, cpu   target
	allocations, headerAllocated target
}

func unaryTargetsAt1() unaryTargets {
	return unaryTargets{atLeast(0.93), atLeast(0.93), atMost(1.1), atMost(1.05), atMost(8), atMost(11)}
}

func unaryTargetsAt64() unaryTargets {
	return unaryTargets{atLeast(1.25), atLeast(1.15), atMost(1.0), atMost(0.88), atMost(8), atMost(11)}
}

// unaryScenario compares calls of the generated client with hand-written ones.
func unaryScenario(callers int, t unaryTargets) scenario {
	return scenario{
		name: fmt.Sprintf("unary-%d", callers),
		about: fmt.Sprintf("%d callers, %d bytes each way, every answer checked. plain is hand-written nats.go; aegis is\n"+
			"the generated code with the method's own timeout; +deadline with a context whose deadline is\n"+
			"another, so that it travels in a header; +WithTimeout with such a context made for each call.", callers, payloadBytes),
		run: func(ctx context.Context, s *settings) (int, error) { return runUnary(ctx, s, callers, &t) },
	}
}

func runUnary(ctx context.Context, s *settings, callers int, t *unaryTargets) (int, error) {
	f, err := startUnaryField(ctx)
	if err != nil {
		return 0, err
	}
	defer f.group.stop()
	rounds, err := f.measure(s, callers)
	if err != nil {
		return 0, err
	}
	fmt.Printf("\n%d rounds of %v for each:\n\n", s.rounds, s.roundTime)
	f.print(rounds)
	return judgeUnary(rounds, t), nil
}

// contender is a pair of processes, and how its client is to call.
type contender struct {
	name            string
	client, service *process
	deadline        deadline
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

// unaryField is everybody who takes part.
type unaryField struct {
	group      *group
	nats       *process
	contenders [contenderCount]contender
}

func startUnaryField(ctx context.Context) (*unaryField, error) {
	g := newGroup(ctx)
	f := &unaryField{group: g, nats: g.start("nats", "")}
	plain := contender{name: plainName, service: g.start("plain-service", f.nats.url), client: g.start("plain-client", f.nats.url)}
	aegis := contender{name: aegisName, service: g.start("aegis-service", f.nats.url), client: g.start("aegis-client", f.nats.url)}
	header, fresh := aegis, aegis
	header.name, header.deadline = "aegis +deadline", deadlineOfCaller
	fresh.name, fresh.deadline = "aegis +WithTimeout", deadlineOfCall
	f.contenders = [contenderCount]contender{plain, aegis, header, fresh}
	if g.err != nil {
		g.stop()
		return nil, g.err
	}
	return f, nil
}

// callFigures are those of one contender in one round.
type callFigures struct {
	loadResult
	clientCPU, serviceCPU, natsCPU float64 // µs per call
}

func (f *callFigures) rate() float64 { return float64(f.Calls) / f.Elapsed.Seconds() }
func (f *callFigures) cpu() float64  { return f.clientCPU + f.serviceCPU + f.natsCPU }

type unaryRound [contenderCount]callFigures

// measure has the contenders take turns. Each round has another order, so that
// what comes and goes on the machine meets all of them alike.
func (f *unaryField) measure(s *settings, callers int) ([]unaryRound, error) {
	var rounds []unaryRound
	for n := range s.warmups + s.rounds {
		var r unaryRound
		for _, who := range turns(n) {
			o := loadOrder{Callers: callers, Time: s.roundTime, Deadline: f.contenders[who].deadline}
			got, err := f.measureOne(&f.contenders[who], o)
			if err != nil {
				return nil, err
			}
			r[who] = *got
		}
		if n >= s.warmups {
			rounds = append(rounds, r)
		}
	}
	return rounds, nil
}

// turns is the order of the n-th round: everybody has every place, and each
// second time the order is turned round.
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

func (f *unaryField) measureOne(c *contender, o loadOrder) (*callFigures, error) {
	return measureLoad(c.client, o, f.nats, c.service)
}

// measureLoad has a client call, and finds out what everybody used for it.
func measureLoad(client *process, o loadOrder, nats *process, services ...*process) (*callFigures, error) {
	var got callFigures
	others := append([]*process{nats}, services...)
	before, err := cpuOf(others...)
	if err != nil {
		return nil, err
	}
	if err := client.ask(opLoad, o, o.Time+callTimeout, &got.loadResult); err != nil {
		return nil, err
	}
	after, err := cpuOf(others...)
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

func (f *unaryField) print(rounds []unaryRound) {
	var names []string
	all := make([][]callFigures, len(rounds))
	for _, c := range f.contenders {
		names = append(names, c.name)
	}
	for i := range rounds {
		all[i] = rounds[i][:]
	}
	printFigures(names, all)
}

// printFigures prints a line for each contender; rounds have the callFigures of all.
func printFigures(names []string, rounds [][]callFigures) {
	t := newTable(os.Stdout)
	row(t, "median of the rounds", "calls/s", "p50 µs", "p99 µs", "client allocations", "CPU µs/call: client", "service", "NATS", "sum")
	row(t, "---", "---:", "---:", "---:", "---:", "---:", "---:", "---:", "---:")
	for who := range names {
		of := func(figure func(*callFigures) float64, format string) string {
			return fmt.Sprintf(format, medianOf(rounds, func(r []callFigures) float64 { return figure(&r[who]) }))
		}
		row(t, names[who],
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

func judgeUnary(rounds []unaryRound, t *unaryTargets) int {
	v := newVerdicts(os.Stdout, "aegis / plain, median (lowest..highest) of the rounds' ratios")
	ratio := func(what string, who int, figure func(*callFigures) float64, t target) {
		var s spread
		for i := range rounds {
			s = append(s, figure(&rounds[i][who])/figure(&rounds[i][plainContender]))
		}
		v.judge(what, median(s), s.String(), t)
	}
	allocations := func(what string, who int, t target) {
		n := medianOf(rounds, func(r unaryRound) float64 { return r[who].Allocs })
		v.judge(what, n, fmt.Sprintf("%.1f", n), t)
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
	return v.done()
}
