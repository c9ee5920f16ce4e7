//go:build linux

package main

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aegisrpc/aegis/internal/fault/roles"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/aegisrpc/aegis/internal/fault/check"
	"github.com/aegisrpc/aegis/internal/fault/proxy"
	aegisv1 "github.com/aegisrpc/aegis/proto/aegis/v1"
)

// durable is a scenario of stored work: so much of it, while workers are killed
// and something happens to NATS.
type durable struct {
	name, what string
	events     bool
	replicas   []int // of the streams, each a run of its own
	// only has the numbers of replicas with which it makes sense; nil: all.
	only    []int
	servers int // NATS servers; 0: as many as replicas
	// away is how many of the servers, the first ones, may go away for good: no
	// process is connected to them.
	away    int
	proxied bool // workers are connected through a slowAPI each
	size    func(replicas int) durableSize
	// prepare changes the world before the work begins.
	prepare func(context.Context, *durableRun) error
	// fault is what happens, size.faults times.
	fault func(context.Context, *durableRun) error
	// met returns why the run proves nothing, although it has ended well.
	met func(*durableRun, *durableResult) error
}

// durableSize is how much there is to do, and how it is disturbed.
type durableSize struct {
	count    int
	every    time.Duration // one is sent; 0: as many as go
	workers  int
	slow     time.Duration // what one in slowEach takes
	kill     time.Duration // between two kills
	faults   int           // of the scenario's own kind, at even distances
	restarts int           // of NATS servers, likewise: killed, stopped, killed...
	hung     int           // times that NATS servers are stopped for a while, likewise
	replicas int
	ackWait  time.Duration
	procs    int           // GOMAXPROCS of all processes; 0: as Go has it
	within   time.Duration // all has to be done
}

// durableResult is what became of it.
type durableResult struct {
	check.DurableVerdict

	Scenario string  `json:"scenario"`
	What     string  `json:"what"`
	Replicas int     `json:"replicas"`
	Killed   int     `json:"killed"`
	Faults   int     `json:"faults"` // of NATS
	Seconds  float64 `json:"seconds"`
	Rate     float64 `json:"per_second"`
	// Replaced are NATS servers that never caught up and came back without data.
	Replaced int `json:"replaced,omitempty"`
	// Kept are commands that the queue holds when its consumers have none left.
	Kept int `json:"kept,omitempty"`
	// Refusals are the sends that were refused, by code.
	Refusals map[string]int `json:"refusals,omitempty"`
	// Failures is why it could not be finished.
	Failures []string `json:"failures,omitempty"`
}

// durableRun is one run of it.
type durableRun struct {
	*world

	of      durable
	size    durableSize
	sender  *child
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

	mu      sync.Mutex // for the next two
	workers []*child
	made    int
}

// runDurable runs a durable scenario.
func (r *runner) runDurable(ctx context.Context, d durable, size durableSize) durableResult {
	res := durableResult{Scenario: d.name, What: d.what, Replicas: size.replicas}
	w, err := newWorld(ctx, setup{servers: max(size.replicas, d.servers), tagged: d.servers > 0, procs: size.procs}, r.log)
	if err != nil {
		res.Failures = append(res.Failures, err.Error())
		return res
	}
	defer w.close()
	run := &durableRun{world: w, of: d, size: size, dead: make(map[string]int64), proxies: make(map[string]*proxy.SlowAPI)}
	if err := run.run(ctx, &res); err != nil {
		res.Failures = append(res.Failures, err.Error())
	}
	run.endAll() // nothing goes on while it is judged
	if ctx.Err() == nil {
		if err := run.judge(ctx, &res); err != nil {
			res.Failures = append(res.Failures, err.Error())
		}
	}
	if d.met != nil && !res.bad() {
		if err := d.met(run, &res); err != nil {
			res.Failures = append(res.Failures, err.Error())
		}
	}
	if res.bad() || r.all {
		r.preserve(w, d.name)
	}
	return res
}

func (d *durableRun) run(ctx context.Context, res *durableResult) error {
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
		if err := d.results.follow(ctx, d.js); err != nil {
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

// limits are those of the proto, and the ack wait that was asked for.
func (d *durable) limits(asked time.Duration) (attempts int, ackWait time.Duration, err error) {
	service, err := roles.DurableService(asked)
	if err != nil {
		return 0, 0, err
	}
	name := protoreflect.Name("Work")
	if d.events {
		name = "Changed"
	}
	options, _ := proto.GetExtension(service.Methods().ByName(name).Options(), aegisv1.E_Method).(*aegisv1.MethodOptions)
	if ev := options.GetEvent(); ev != nil {
		return int(ev.GetRedelivery().GetMaxAttempts()), ev.GetAckWait().AsDuration(), nil
	}
	command := options.GetCommand()
	return int(command.GetRetry().GetMaxAttempts()), command.GetAckWait().AsDuration(), nil
}
