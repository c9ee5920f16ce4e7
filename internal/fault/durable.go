//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/aegisrpc/aegis/internal/fault/check"
	faultv1 "github.com/aegisrpc/aegis/internal/fault/gen/fault/v1"
	"github.com/aegisrpc/aegis/internal/fault/gen/fault/v1/faultv1aegis"
	"github.com/aegisrpc/aegis/internal/fault/history"
	"github.com/aegisrpc/aegis/internal/wire"
	aegisv1 "github.com/aegisrpc/aegis/proto/aegis/v1"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// durable is a scenario of stored work: so much of it, while workers are killed
// and NATS is restarted.
type durable struct {
	name, what string
	events     bool
	method     string // whose attempts and ack wait count
}

func durables() []durable {
	what := ", workers killed and NATS restarted"
	return []durable{
		{name: "commands", what: "commands" + what, method: "Work"},
		{name: "events", what: "events, half of them with keys" + what, method: "Changed", events: true},
	}
}

// durableSize is how much there is to do, and how it is disturbed.
type durableSize struct {
	count    int
	every    time.Duration // one is sent; 0: as many as go
	workers  int
	kill     time.Duration // between two kills
	restarts int           // of NATS, at even distances: killed, stopped, killed...
	within   time.Duration // all has to be done
}

func longDurable() durableSize {
	return durableSize{count: 100_000, workers: 4, kill: time.Second, restarts: 2, within: 20 * time.Minute}
}

// shortDurable is for tests.
func shortDurable() durableSize {
	return durableSize{
		count: 2000, every: time.Millisecond, workers: 3, kill: 700 * time.Millisecond, restarts: 1, within: 3 * time.Minute,
	}
}

// limits are those of the proto.
func (d *durable) limits() (attempts int, ackWait time.Duration) {
	method := faultv1.File_fault_v1_durable_proto.Services().Get(0).Methods().ByName(protoreflect.Name(d.method))
	options, _ := proto.GetExtension(method.Options(), aegisv1.E_Method).(*aegisv1.MethodOptions)
	if ev := options.GetEvent(); ev != nil {
		return int(ev.GetRedelivery().GetMaxAttempts()), ev.GetAckWait().AsDuration()
	}
	command := options.GetCommand()
	return int(command.GetRetry().GetMaxAttempts()), command.GetAckWait().AsDuration()
}

// durableResult is what became of it.
type durableResult struct {
	check.DurableVerdict

	Scenario string  `json:"scenario"`
	What     string  `json:"what"`
	Killed   int     `json:"killed"`
	Restarts int     `json:"restarts"`
	Seconds  float64 `json:"seconds"`
	Rate     float64 `json:"per_second"`
	// Kept are commands that the queue holds when its consumers have none left.
	Kept int `json:"kept,omitempty"`
	// Failures is why it could not be finished.
	Failures []string `json:"failures,omitempty"`
}

// durableRun is one run of it.
type durableRun struct {
	*world

	of      durable
	size    durableSize
	sender  *child
	dead    map[string]int64 // by killed process
	outages []check.Outage
	kept    int // commands in their queue
	results resultFollower

	mu      sync.Mutex // for the next two
	workers []*child
	made    int
}

// runDurable runs a durable scenario.
func (r *runner) runDurable(ctx context.Context, d durable, size durableSize) durableResult {
	res := durableResult{Scenario: d.name, What: d.what}
	s := single()
	s.candidates, s.callers = 0, 0
	w, err := newWorld(ctx, s, r.log)
	if err != nil {
		res.Failures = append(res.Failures, err.Error())
		return res
	}
	defer w.close()
	run := &durableRun{world: w, of: d, size: size, dead: make(map[string]int64)}
	if err := run.run(ctx, &res); err != nil {
		res.Failures = append(res.Failures, err.Error())
	}
	run.endAll() // nothing goes on while it is judged
	if ctx.Err() == nil {
		if err := run.judge(ctx, &res); err != nil {
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
	for range d.size.workers {
		if err := d.addWorker(); err != nil {
			return err
		}
	}
	for _, c := range d.workers {
		if err := d.awaitReady(ctx, c); err != nil {
			return err
		}
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
	res.Killed, res.Restarts, res.Kept = len(d.dead), len(d.outages), d.kept
	res.Seconds = time.Since(began).Seconds()
	res.Rate = float64(d.size.count) / res.Seconds
	if err != nil {
		return err
	}
	return d.finishAll(ctx)
}

// disturb kills and restarts until all is done.
func (d *durableRun) disturb(ctx context.Context) error {
	killing, enough := context.WithCancel(ctx)
	killed := make(chan error, 1)
	var killer sync.WaitGroup
	killer.Go(func() { killed <- d.killWorkers(killing) })
	defer killer.Wait()
	defer enough()
	for i := range d.size.restarts {
		at := d.size.count * (i + 1) / (d.size.restarts + 1)
		if err := d.awaitProgress(ctx, killed, func(done, _ int) bool { return done >= at }); err != nil {
			return err
		}
		if err := d.restartNATS(ctx, i%2 == 1); err != nil {
			return err
		}
	}
	if err := d.awaitProgress(ctx, killed, func(_, left int) bool { return d.sent() && left == 0 }); err != nil {
		return err
	}
	enough()
	return <-killed
}

// addWorker starts another worker, under a name that none had before.
func (d *durableRun) addWorker() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.made++
	name := fmt.Sprint("w", d.made)
	o := workerOrder{
		URL: d.urls(0), Instance: name, Events: d.of.events,
		History: filepath.Join(d.dir, name+historySuffix), Room: 4*d.size.count + signsRoom,
	}
	c, err := d.spawn.start(name, "worker", o)
	if err != nil {
		return err
	}
	d.histories[name] = o.History
	d.workers = append(d.workers, c)
	return nil
}

// signsRoom is room for an hour's signs of life.
const signsRoom = 1 << 16

func (d *durableRun) startSender(ctx context.Context) error {
	o := senderOrder{
		URL: d.urls(0), Events: d.of.events, Count: d.size.count, Every: d.size.every,
		History: filepath.Join(d.dir, "sender"+historySuffix), Room: 2 * d.size.count,
	}
	var err error
	if d.sender, err = d.spawn.start("sender", "sender", o); err != nil {
		return err
	}
	d.calls = append(d.calls, o.History)
	return d.awaitReady(ctx, d.sender)
}

// sent tells whether the sender has an end of all that it sent.
func (d *durableRun) sent() bool {
	d.world.mu.Lock()
	defer d.world.mu.Unlock()
	return d.said[d.sender] != 0
}

// killWorkers kills one worker after the other, whichever runs, and starts
// another one in its place. The last one that runs it leaves, or where processes
// take long to start nothing would ever be done.
func (d *durableRun) killWorkers(ctx context.Context) error {
	ticker := time.NewTicker(d.size.kill)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		victim, err := d.victim()
		if err != nil {
			return err
		}
		if victim == nil {
			continue
		}
		d.dead[victim.name] = history.Now()
		victim.kill()
		if err := d.addWorker(); err != nil {
			return err
		}
	}
}

// victim takes one of the workers that run, nil if there are not two of them.
func (d *durableRun) victim() (*child, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var running []int
	for i, c := range d.workers {
		if !c.alive() {
			return nil, fmt.Errorf("%s ended by itself: %w\n%s", c.name, errOf(c), tail(filepath.Join(d.dir, c.name+".log")))
		}
		d.world.mu.Lock()
		if d.ready[c] != 0 {
			running = append(running, i)
		}
		d.world.mu.Unlock()
	}
	if len(running) < 2 {
		return nil, nil //nolint:nilnil // there is none
	}
	i := running[rand.IntN(len(running))]
	c := d.workers[i]
	d.workers = append(d.workers[:i], d.workers[i+1:]...)
	return c, nil
}

// restartNATS restarts NATS with its data.
func (d *durableRun) restartNATS(ctx context.Context, gently bool) error {
	s := d.servers[0]
	o := check.Outage{From: history.Now()}
	if gently {
		if err := s.finish(ctx); err != nil {
			return err
		}
	} else {
		s.kill()
	}
	if err := s.restart(ctx, true); err != nil {
		return err
	}
	var err error
	o.To, err = s.answers(ctx)
	d.outages = append(d.outages, o)
	return err
}

const progressInterval = 100 * time.Millisecond

// awaitProgress waits until so much is done and left.
func (d *durableRun) awaitProgress(ctx context.Context, killed chan error, enough func(done, left int) bool) error {
	done, left := 0, 0
	for {
		if now, rest, err := d.progress(ctx); err == nil { // NATS may just be away
			done, left = now, rest
			if enough(done, left) {
				return nil
			}
		}
		select {
		case err := <-killed:
			return errors.Join(err, ctx.Err())
		case <-ctx.Done():
			return fmt.Errorf("waited %v, %d are done and %d left: %w", d.size.within, done, left, ctx.Err())
		case <-time.After(progressInterval):
		}
	}
}

// progress asks how much is done, and how much the consumers have left. What the
// queue of commands still holds then, though they are done, is only reported: NATS
// has it deleted, or has forgotten that when it was killed.
func (d *durableRun) progress(ctx context.Context) (done, left int, err error) {
	ctx, cancel := context.WithTimeout(ctx, storedWithin)
	defer cancel()
	name := wire.CommandStream(wire.DefaultNamespace, faultv1aegis.DurableServiceName)
	if d.of.events {
		name = wire.EventStream(wire.DefaultNamespace, faultv1aegis.DurableServiceName)
	}
	stream, err := d.js.Stream(ctx, name)
	if err != nil {
		return 0, 0, err
	}
	consumers := stream.ListConsumers(ctx)
	for c := range consumers.Info() {
		left += int(c.NumPending) + c.NumAckPending
	}
	d.log.Debug("progress", "stored", stream.CachedInfo().State.Msgs, "left", left)
	if d.of.events {
		return int(stream.CachedInfo().State.Msgs) - left, left, consumers.Err()
	}
	d.kept = int(stream.CachedInfo().State.Msgs)
	return d.results.count(), left, consumers.Err()
}

// finishAll lets sender and workers come to their end.
func (d *durableRun) finishAll(ctx context.Context) error {
	errs := []error{d.sender.finish(ctx)}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.workers {
		errs = append(errs, c.finish(ctx))
	}
	return errors.Join(errs...)
}

// endAll kills what still runs.
func (d *durableRun) endAll() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.workers {
		c.kill()
	}
	if d.sender != nil {
		d.sender.kill()
	}
}

// resultFollower reads the results as they are stored: of two for one command the
// stream keeps the second.
type resultFollower struct {
	consuming jetstream.ConsumeContext

	mu  sync.Mutex
	all []storedResult
}

type storedResult struct {
	command string
	ok      bool
	data    []byte
}

func (f *resultFollower) follow(ctx context.Context, js jetstream.JetStream) error {
	consumer, err := js.OrderedConsumer(ctx, wire.ResultStream(wire.DefaultNamespace, faultv1aegis.DurableServiceName), jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{wire.NewSubjects(wire.DefaultNamespace).Result(faultv1aegis.DurableServiceName, "*.*", wire.ResultResult)},
	})
	if err != nil {
		return err
	}
	f.consuming, err = consumer.Consume(f.take)
	return err
}

func (f *resultFollower) take(msg jetstream.Msg) {
	id, _ := wire.ParseCommandID(msg.Subject(), 1)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all = append(f.all, storedResult{id, msg.Headers().Get(wire.HeaderState) == wire.StateSucceeded, msg.Data()})
}

func (f *resultFollower) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.all)
}

func (f *resultFollower) stop() { f.consuming.Stop() }

// judge reads what everybody recorded, and the stores.
func (d *durableRun) judge(ctx context.Context, res *durableResult) error {
	d.storeLost = true // there are no registers here
	all, err := d.history(ctx)
	if err != nil {
		return err
	}
	h := &check.Durable{Workers: all.Processes, Sent: all.Calls, Killed: d.dead, Outages: d.outages}
	h.Attempts, h.AckWait = d.of.limits()
	names, err := d.deadLetters(ctx, h)
	if err != nil {
		return err
	}
	if !d.of.events {
		h.Results = []check.Result{}
		d.results.mu.Lock()
		defer d.results.mu.Unlock()
		for _, r := range d.results.all {
			result := check.Result{Command: r.command, ID: names[r.command], OK: r.ok}
			if body := new(faultv1.WorkResponse); r.ok && proto.Unmarshal(r.data, body) == nil {
				result.ID = body.GetId()
			}
			h.Results = append(h.Results, result)
		}
	}
	res.DurableVerdict = check.JudgeDurable(h)
	return nil
}

// deadLetters reads them, and returns which command is which of those that
// failed: their results do not say.
func (d *durableRun) deadLetters(ctx context.Context, h *check.Durable) (map[string]uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, storedWithin)
	defer cancel()
	conn, err := aegis.NewConn(d.monitor)
	if err != nil {
		return nil, err
	}
	defer conn.Close(ctx) //nolint:errcheck // it is not ours to close
	names := make(map[string]uint64)
	for letter, err := range conn.DeadLetters(ctx, faultv1aegis.DurableServiceName) {
		if err != nil {
			return nil, err
		}
		body := new(faultv1.ChangedRequest) // the id is the same field of all three
		if err := letter.Unmarshal(body); err != nil {
			return nil, err
		}
		names[letter.ID] = body.GetId()
		h.Dead = append(h.Dead, check.Dead{ID: body.GetId(), Attempts: letter.Attempts, At: history.At(letter.Time)})
	}
	return names, nil
}
