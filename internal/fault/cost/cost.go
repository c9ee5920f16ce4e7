//go:build linux

// Package cost measures what candidates of a single active service cost when nothing
// happens: processor time and messages.
package cost

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/fault/roles"
	"github.com/aegisrpc/aegis/internal/fault/wait"
	"github.com/aegisrpc/aegis/internal/fault/world"
	"github.com/aegisrpc/aegis/internal/procs"
)

// Cost is one figure of what a candidate needs.
type Cost struct {
	What  string  `json:"what"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
}

// Print writes a line.
func (c Cost) Print(out io.Writer) { fmt.Fprintf(out, "%-60s %8.2f %s\n", c.What, c.Value, c.Unit) }

const (
	// costTime is how long each figure is measured, costPause how long it takes
	// until nothing starts any more: slow probes come every 500 ms.
	costTime  = 15 * time.Second
	costPause = 3 * time.Second

	manyCandidates = 30
	manyGroups     = 200
	perSecond      = "messages/s"
)

// Name is the name under which the user asks for the measurements.
const Name = "cost"

// Measure measures what candidates cost when nothing happens.
func Measure(ctx context.Context, h *world.Harness) ([]Cost, error) {
	var all []Cost
	for _, candidates := range []int{3, manyCandidates} {
		costs, err := costOfCandidates(ctx, h, candidates)
		if err != nil {
			return all, err
		}
		all = append(all, costs...)
	}
	costs, err := costOfGroups(ctx, h)
	if err != nil {
		return all, err
	}
	all = append(all, costs...)
	idle, err := costOfWaking(ctx, h)
	return append(all, idle...), err
}

// costOfWaking measures what a process costs that only wakes up as often as a
// prober sends probes.
func costOfWaking(ctx context.Context, h *world.Harness) ([]Cost, error) {
	w, err := world.New(ctx, world.Bare(), h.Log)
	if err != nil {
		return nil, err
	}
	defer w.Close()
	c, err := w.StartReady(ctx, "sleeper", roles.Sleeper, roles.SleeperOrder{Interval: w.Election.Probe})
	if err != nil {
		return nil, err
	}
	began, err := c.CPUTime()
	if err != nil {
		return nil, err
	}
	wait.For(ctx, costTime)
	ended, err := c.CPUTime()
	what := fmt.Sprintf("for comparison: a process that wakes up every %v", w.Election.Probe)
	return []Cost{{what, 100 * (ended - began).Seconds() / costTime.Seconds(), "% of a core"}}, err
}

// costOfCandidates measures one group.
func costOfCandidates(ctx context.Context, h *world.Harness, candidates int) ([]Cost, error) {
	s := world.Single()
	s.Candidates, s.Callers, s.Together = candidates, 1, true
	w, err := world.New(ctx, s, h.Log)
	if err != nil {
		return nil, err
	}
	defer w.Close()
	leader, _, err := w.Settle(ctx)
	if err != nil {
		return nil, err
	}
	if err := w.FinishCallers(ctx); err != nil {
		return nil, err
	}
	prober := w.Candidates[0]
	if prober == leader {
		prober = w.Candidates[1]
	}
	wait.For(ctx, costPause)
	suffix := fmt.Sprintf(", one group, %d candidates", candidates)
	return meterAll(ctx, w, suffix, standing{prober.Process, prober.Order.Instance}, standing{leader.Process, leader.Order.Instance})
}

// costOfGroups measures two processes that stand in many groups.
func costOfGroups(ctx context.Context, h *world.Harness) ([]Cost, error) {
	w, err := world.New(ctx, world.Bare(), h.Log)
	if err != nil {
		return nil, err
	}
	defer w.Close()
	var crowds []*procs.Process
	for _, name := range []string{"many1", "many2"} {
		c, err := w.StartReady(ctx, name, roles.Crowd, roles.CrowdOrder{URL: w.URLs(0), Instance: name, Groups: manyGroups})
		if err != nil {
			return nil, err
		}
		crowds = append(crowds, c)
		wait.For(ctx, 2*costPause) // the first leads all groups
	}
	suffix := fmt.Sprintf(", %d groups, 2 candidates", manyGroups)
	return meterAll(ctx, w, suffix, standing{crowds[1], "many2"}, standing{crowds[0], "many1"})
}

// standing is a process that stands for election, and the name of its connection.
type standing struct {
	*procs.Process

	connection string
}

// meterAll measures a process that stands by, one that leads, and the probes of all.
func meterAll(ctx context.Context, w *world.World, suffix string, standby, leader standing) ([]Cost, error) {
	costs, err := meter(ctx, w, "standby"+suffix, standby)
	if err != nil {
		return nil, err
	}
	more, err := meter(ctx, w, "leader"+suffix, leader)
	if err != nil {
		return nil, err
	}
	probes, err := countProbes(ctx, w)
	return append(append(costs, more...), Cost{"probes" + suffix, probes, perSecond}), err
}

// meter measures a process and its connection.
func meter(ctx context.Context, w *world.World, what string, c standing) ([]Cost, error) {
	cpu, err := c.CPUTime()
	if err != nil {
		return nil, err
	}
	before, err := messages(ctx, w, c.connection)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	wait.For(ctx, costTime)
	cpuAfter, err := c.CPUTime()
	if err != nil {
		return nil, err
	}
	after, err := messages(ctx, w, c.connection)
	if err != nil {
		return nil, err
	}
	seconds := time.Since(began).Seconds()
	return []Cost{
		{what, 100 * (cpuAfter - cpu).Seconds() / seconds, "% of a core"},
		{what, float64(after-before) / seconds, perSecond},
	}, nil
}

// messages asks the NATS server how many messages a connection has sent and
// received.
func messages(ctx context.Context, w *world.World, connection string) (uint64, error) {
	server := w.Servers[0].Process
	err := w.Do(ctx, server, roles.CommandCount, connection)
	return w.Heard(server)[roles.EventCount], err
}

// countProbes listens to the probes of all processes.
func countProbes(ctx context.Context, w *world.World) (rate float64, err error) {
	var n atomic.Int64
	sub, err := w.Monitor.Subscribe("aegis.live.*.probe", func(*nats.Msg) { n.Add(1) })
	if err != nil {
		return 0, err
	}
	began := time.Now()
	wait.For(ctx, costTime)
	rate = float64(n.Load()) / time.Since(began).Seconds()
	return rate, sub.Unsubscribe()
}
