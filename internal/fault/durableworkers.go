//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"time"

	"github.com/aegisrpc/aegis/internal/fault/roles"

	"github.com/aegisrpc/aegis/internal/fault/history"
	"github.com/aegisrpc/aegis/internal/fault/proxy"
)

// signsRoom is room for an hour's signs of life.
const signsRoom = 1 << 16

// startWorkers returns when they all are ready.
func (d *durableRun) startWorkers(ctx context.Context) error {
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
	return nil
}

// clientURLs are those of the NATS servers that do not go away for good.
func (d *durableRun) clientURLs(number int) string {
	stay := len(d.servers) - d.of.away
	return d.urls(d.of.away + number%stay)
}

// addWorker starts another worker, under a name that none had before.
func (d *durableRun) addWorker() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.made++
	name := fmt.Sprint("w", d.made)
	url, err := d.workerURL(name, d.made)
	if err != nil {
		return err
	}
	o := roles.WorkerOrder{
		URL: url, Instance: name, Events: d.of.events, Replicas: d.size.replicas, AckWait: d.size.ackWait, Slow: d.size.slow,
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

// workerURL is where a worker connects to. Where the API gets slow, that is a proxy
// of its own.
func (d *durableRun) workerURL(name string, number int) (string, error) {
	if !d.of.proxied {
		return d.clientURLs(number), nil
	}
	p, err := proxy.NewSlowAPI(d.servers[number%len(d.servers)].address(), &d.delay)
	if err != nil {
		return "", err
	}
	d.proxies[name] = p
	return p.URL(), nil
}

func (d *durableRun) startSender(ctx context.Context) error {
	d.ids = filepath.Join(d.dir, "commands.txt")
	o := roles.SenderOrder{
		URL: d.clientURLs(0), Events: d.of.events, Count: d.size.count, Every: d.size.every, Replicas: d.size.replicas,
		History: filepath.Join(d.dir, "sender"+historySuffix), Room: 2 * d.size.count, IDs: d.ids,
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
	for _, p := range d.proxies {
		p.Close()
	}
}
