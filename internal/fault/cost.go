//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aegisrpc/aegis/internal/fault/roles"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/fault/wait"
)

// cost is one figure of what standing costs.
type cost struct {
	What  string  `json:"what"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
}

func (c cost) print(out io.Writer) { fmt.Fprintf(out, "%-60s %8.2f %s\n", c.What, c.Value, c.Unit) }

const (
	// costTime is how long each figure is measured, costPause how long it takes
	// until nothing starts any more: slow probes come every 500 ms.
	costTime  = 15 * time.Second
	costPause = 3 * time.Second

	manyCandidates = 30
	manyGroups     = 200
	perSecond      = "messages/s"
	ticksPerSecond = 100 // of /proc, on all Linux machines
)

// measureCosts measures what candidates cost when nothing happens.
func (r *runner) measureCosts(ctx context.Context) ([]cost, error) {
	var all []cost
	for _, candidates := range []int{3, manyCandidates} {
		costs, err := r.costOfCandidates(ctx, candidates)
		if err != nil {
			return all, err
		}
		all = append(all, costs...)
	}
	costs, err := r.costOfGroups(ctx)
	if err != nil {
		return all, err
	}
	all = append(all, costs...)
	idle, err := r.costOfWaking(ctx)
	return append(all, idle...), err
}

// costOfWaking measures what a process costs that only wakes up as often as a
// prober sends probes.
func (r *runner) costOfWaking(ctx context.Context) ([]cost, error) {
	s := single()
	s.candidates, s.callers = 0, 0
	w, err := newWorld(ctx, s, r.log)
	if err != nil {
		return nil, err
	}
	defer w.close()
	c, err := w.spawn.start("sleeper", "sleeper", roles.SleeperOrder{Interval: s.election.Probe})
	if err != nil {
		return nil, err
	}
	defer c.kill()
	if err := w.awaitReady(ctx, c); err != nil {
		return nil, err
	}
	began, err := cpuTime(c)
	if err != nil {
		return nil, err
	}
	wait.For(ctx, costTime)
	ended, err := cpuTime(c)
	what := fmt.Sprintf("for comparison: a process that wakes up every %v", s.election.Probe)
	return []cost{{what, 100 * (ended - began).Seconds() / costTime.Seconds(), "% of a core"}}, err
}

// costOfCandidates measures one group.
func (r *runner) costOfCandidates(ctx context.Context, candidates int) ([]cost, error) {
	s := single()
	s.candidates, s.callers, s.together = candidates, 1, true
	w, err := newWorld(ctx, s, r.log)
	if err != nil {
		return nil, err
	}
	defer w.close()
	leader, _, err := w.settle(ctx)
	if err != nil {
		return nil, err
	}
	for _, c := range w.callers {
		if err := c.finish(ctx); err != nil {
			return nil, err
		}
	}
	prober := w.candidates[0]
	if prober == leader {
		prober = w.candidates[1]
	}
	wait.For(ctx, costPause)
	suffix := fmt.Sprintf(", one group, %d candidates", candidates)
	costs, err := w.meter(ctx, "standby"+suffix, prober.child, prober.order.Instance)
	if err != nil {
		return nil, err
	}
	more, err := w.meter(ctx, "leader"+suffix, leader.child, leader.order.Instance)
	if err != nil {
		return nil, err
	}
	probes, err := w.countProbes(ctx)
	return append(append(costs, more...), cost{"probes" + suffix, probes, perSecond}), err
}

// costOfGroups measures two processes that stand in many groups.
func (r *runner) costOfGroups(ctx context.Context) ([]cost, error) {
	s := single()
	s.candidates, s.callers = 0, 0
	w, err := newWorld(ctx, s, r.log)
	if err != nil {
		return nil, err
	}
	defer w.close()
	var crowds []*child
	for _, name := range []string{"many1", "many2"} {
		c, err := w.spawn.start(name, "crowd", roles.CrowdOrder{URL: w.urls(0), Instance: name, Groups: manyGroups})
		if err != nil {
			return nil, err
		}
		defer c.kill()
		if err := w.awaitReady(ctx, c); err != nil {
			return nil, err
		}
		crowds = append(crowds, c)
		wait.For(ctx, 2*costPause) // the first leads all groups
	}
	suffix := fmt.Sprintf(", %d groups, 2 candidates", manyGroups)
	costs, err := w.meter(ctx, "standby"+suffix, crowds[1], "many2")
	if err != nil {
		return nil, err
	}
	more, err := w.meter(ctx, "leader"+suffix, crowds[0], "many1")
	if err != nil {
		return nil, err
	}
	probes, err := w.countProbes(ctx)
	return append(append(costs, more...), cost{"probes" + suffix, probes, perSecond}), err
}

// meter measures a process and its connection.
func (w *world) meter(ctx context.Context, what string, c *child, connection string) ([]cost, error) {
	cpu, err := cpuTime(c)
	if err != nil {
		return nil, err
	}
	messages, err := w.messages(ctx, connection)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	wait.For(ctx, costTime)
	cpuAfter, err := cpuTime(c)
	if err != nil {
		return nil, err
	}
	messagesAfter, err := w.messages(ctx, connection)
	if err != nil {
		return nil, err
	}
	seconds := time.Since(began).Seconds()
	return []cost{
		{what, 100 * (cpuAfter - cpu).Seconds() / seconds, "% of a core"},
		{what, float64(messagesAfter-messages) / seconds, perSecond},
	}, nil
}

// cpuTime is what a process has used.
func cpuTime(c *child) (time.Duration, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(data), ") ") // the name may have spaces
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, fmt.Errorf("/proc of %s: %q", c.name, data)
	}
	user, uerr := strconv.ParseInt(fields[11], 10, 64)
	system, serr := strconv.ParseInt(fields[12], 10, 64)
	if uerr != nil || serr != nil {
		return 0, fmt.Errorf("/proc of %s: %q", c.name, data)
	}
	return time.Duration(user+system) * time.Second / ticksPerSecond, nil
}

// messages asks the NATS server how many messages a connection has sent and
// received.
func (w *world) messages(ctx context.Context, connection string) (n uint64, err error) {
	w.mu.Lock()
	w.counted = nil
	w.mu.Unlock()
	if err := w.servers[0].command(roles.CommandCount + " " + connection); err != nil {
		return 0, err
	}
	err = w.await(ctx, "the count of messages", readyWithin, func() bool {
		if w.counted != nil {
			n = *w.counted
		}
		return w.counted != nil
	})
	return n, err
}

// countProbes listens to the probes of all processes.
func (w *world) countProbes(ctx context.Context) (rate float64, err error) {
	var n atomic.Int64
	sub, err := w.monitor.Subscribe("aegis.live.*.probe", func(*nats.Msg) { n.Add(1) })
	if err != nil {
		return 0, err
	}
	began := time.Now()
	wait.For(ctx, costTime)
	rate = float64(n.Load()) / time.Since(began).Seconds()
	return rate, sub.Unsubscribe()
}
