//go:build linux

// Package durable has commands and durable events worked while workers are killed and
// something happens to NATS.
//
// A run sends so many, kills a worker now and then, has a fault happen to NATS at even
// distances, and waits until all has come to an end. Then package check judges what
// the sender, the workers and the stores say.
//
//	scenarios.go          the table of scenarios; a new one begins there
//	sizes.go knobs.go     how much there is to do, and what the user wants otherwise
//	faults.go             what happens to NATS servers and to the account
//	run.go progress.go    a run from its start to its end, and how far it is
//	workers.go            workers and the sender, and who is killed
//	judge.go results.go   what is read for the judge
//	result.go             what became of a run, and its row of the table
package durable

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aegisrpc/aegis/internal/fault/check"
	"github.com/aegisrpc/aegis/internal/fault/proxy"
	"github.com/aegisrpc/aegis/internal/fault/world"
	"github.com/aegisrpc/aegis/internal/procs"
)

// Run runs scenarios one after the other and hands over what became of each run. It
// ends early when ctx is done, or when result returns an error.
func Run(ctx context.Context, h *world.Harness, asked []Scenario, k *Knobs, result func(Result) error) error {
	for i := range asked {
		for _, size := range k.sizes(&asked[i]) {
			res := runOne(ctx, h, &asked[i], size)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err := result(res); err != nil {
				return err
			}
		}
	}
	return nil
}

// run is one run of a scenario.
type run struct {
	*world.World

	of      *Scenario
	size    size
	sender  *procs.Process
	ids     string           // the file where the sender writes the ids of commands
	dead    map[string]int64 // by killed process
	outages []check.Outage
	deposed []check.Outage // times in which consumers got other leaders
	faults  int
	// replaced are NATS servers that did not catch up, and lost their data for it.
	replaced int
	kept     int // commands in their queue
	left     int // messages that the consumers have
	results  resultFollower
	proxies  map[string]*proxy.SlowAPI // by worker
	delay    atomic.Int64              // of the API, in nanoseconds

	mu      sync.Mutex // guards the next two
	workers []*procs.Process
	made    int
}

// runOne runs a scenario once.
func runOne(ctx context.Context, h *world.Harness, s *Scenario, size size) Result {
	res := Result{Scenario: s.Name, What: s.What, Replicas: size.replicas}
	w, err := world.New(ctx, world.Setup{Servers: max(size.replicas, s.servers), Tagged: s.servers > 0, Procs: size.procs}, h.Log)
	if err != nil {
		res.Failures = append(res.Failures, err.Error())
		return res
	}
	defer w.Close()
	d := &run{World: w, of: s, size: size, dead: make(map[string]int64), proxies: make(map[string]*proxy.SlowAPI)}
	if err := d.work(ctx, &res); err != nil {
		res.Failures = append(res.Failures, err.Error())
	}
	d.killAll() // nothing goes on while it is judged
	if ctx.Err() == nil {
		if err := d.judge(ctx, &res); err != nil {
			res.Failures = append(res.Failures, err.Error())
		}
	}
	if s.met != nil && !res.Broken() {
		if err := s.met(d, &res); err != nil {
			res.Failures = append(res.Failures, err.Error())
		}
	}
	h.Preserve(w, s.Name, res.Broken())
	return res
}

// work has all the work of a run done, while it is disturbed.
func (d *run) work(ctx context.Context, res *Result) error {
	ctx, cancel := context.WithTimeout(ctx, d.size.within)
	defer cancel()
	if d.of.prepare != nil {
		if err := d.of.prepare(ctx, d); err != nil {
			return err
		}
	}
	if err := d.startWorkers(ctx); err != nil {
		return err
	}
	if err := d.whole(ctx); err != nil {
		return err
	}
	if !d.of.events {
		if err := d.results.follow(ctx, d.JS); err != nil {
			return err
		}
		defer d.results.stop()
	}
	began := time.Now()
	if err := d.startSender(ctx); err != nil {
		return err
	}
	err := d.disturb(ctx)
	res.Killed, res.Faults, res.Kept, res.Replaced = len(d.dead), d.faults, d.kept, d.replaced
	res.Seconds = time.Since(began).Seconds()
	res.Rate = float64(d.size.count) / res.Seconds
	if err != nil {
		return err
	}
	return d.finishAll(ctx)
}
