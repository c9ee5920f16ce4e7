//go:build linux

package durable

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/aegisrpc/aegis/internal/fault/gen/fault/v1/faultv1aegis"
	"github.com/aegisrpc/aegis/internal/wire"
)

const (
	progressInterval = 100 * time.Millisecond
	progressWithin   = 5 * time.Second
	// patience is for how long nothing may come to an end before the run is over.
	patience = 60 * time.Second
)

// disturb kills workers and lets the faults of NATS happen until all is done.
func (d *run) disturb(ctx context.Context) error {
	killing, enough := context.WithCancel(ctx)
	killed := make(chan error, 1)
	var killer sync.WaitGroup
	killer.Go(func() { killed <- d.killWorkers(killing) })
	defer killer.Wait()
	defer enough()
	plan := d.plan()
	for i, fault := range plan {
		at := d.size.count * (i + 1) / (len(plan) + 1)
		if err := d.awaitProgress(ctx, killed, func(done, _ int) bool { return done >= at || d.sent() }); err != nil {
			return err
		}
		if err := fault(ctx); err != nil {
			return fmt.Errorf("fault %d of %d: %w", i+1, len(plan), err)
		}
		d.faults++
	}
	if err := d.awaitProgress(ctx, killed, func(_, left int) bool { return d.sent() && left == 0 }); err != nil {
		return err
	}
	enough()
	return <-killed
}

// plan returns the faults in their order: those of each kind take turns.
func (d *run) plan() (all []func(context.Context) error) {
	for i := range max(d.size.faults, d.size.restarts, d.size.hung) {
		if i < d.size.faults {
			all = append(all, func(ctx context.Context) error { return d.of.fault(ctx, d) })
		}
		if i < d.size.restarts {
			all = append(all, func(ctx context.Context) error { return d.restartNATS(ctx, d.Servers[i%len(d.Servers)], i%2 == 1) })
		}
		if i < d.size.hung {
			all = append(all, func(ctx context.Context) error { return hangFollowers(ctx, d) })
		}
	}
	return all
}

// progressed is how far the work was when it was looked at.
type progressed struct{ done, left, stored int }

// awaitProgress waits until enough returns true for what is done and left.
func (d *run) awaitProgress(ctx context.Context, killed chan error, enough func(done, left int) bool) error {
	var last progressed
	since := time.Now()
	for {
		if now, err := d.progress(ctx); err == nil { // NATS may just be away
			if now != last {
				last, since = now, time.Now()
			}
			d.left = now.left
			if enough(now.done, now.left) {
				return nil
			}
		}
		if time.Since(since) > patience {
			return fmt.Errorf("nothing came to an end for %v: %d are done and %d left", patience, last.done, last.left)
		}
		select {
		case err := <-killed:
			return errors.Join(err, ctx.Err())
		case <-ctx.Done():
			return fmt.Errorf("waited %v, %d are done and %d left: %w", d.size.within, last.done, last.left, ctx.Err())
		case <-time.After(progressInterval):
		}
	}
}

// mainStream returns the stream that commands or events are stored in.
func (d *run) mainStream() string {
	if d.of.events {
		return wire.EventStream(wire.DefaultNamespace, faultv1aegis.DurableServiceName)
	}
	return wire.CommandStream(wire.DefaultNamespace, faultv1aegis.DurableServiceName)
}

func resultStream() string {
	return wire.ResultStream(wire.DefaultNamespace, faultv1aegis.DurableServiceName)
}

// progress asks how much is done, and how much the consumers have left. What the
// queue of commands still holds then, though they are done, is only reported: NATS
// has it deleted, or has forgotten that when it was killed.
func (d *run) progress(ctx context.Context) (progressed, error) {
	ctx, cancel := context.WithTimeout(ctx, progressWithin)
	defer cancel()
	stream, err := d.JS.Stream(ctx, d.mainStream())
	if err != nil {
		return progressed{}, err
	}
	p := progressed{stored: int(stream.CachedInfo().State.Msgs)}
	err = eachConsumer(ctx, stream, func(c *jetstream.ConsumerInfo) error {
		p.left += int(c.NumPending) + c.NumAckPending
		return nil
	})
	if d.of.events {
		p.done = p.stored - p.left
	} else {
		d.kept, p.done = p.stored, d.results.count()
	}
	d.Log.Debug("progress", "stored", p.stored, "left", p.left, "done", p.done)
	return p, err
}

func eachConsumer(ctx context.Context, stream jetstream.Stream, do func(*jetstream.ConsumerInfo) error) error {
	consumers := stream.ListConsumers(ctx)
	for c := range consumers.Info() {
		if err := do(c); err != nil {
			return err
		}
	}
	return consumers.Err()
}
