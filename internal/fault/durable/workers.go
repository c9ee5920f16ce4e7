//go:build linux

package durable

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"time"

	"github.com/aegisrpc/aegis/internal/fault/history"
	"github.com/aegisrpc/aegis/internal/fault/proxy"
	"github.com/aegisrpc/aegis/internal/fault/roles"
	"github.com/aegisrpc/aegis/internal/fault/world"
	"github.com/aegisrpc/aegis/internal/procs"
)

// signsRoom is room for an hour's signs of life.
const signsRoom = 1 << 16

// startWorkers returns when they all are ready.
func (d *run) startWorkers(ctx context.Context) error {
	for range d.size.workers {
		if err := d.addWorker(); err != nil {
			return err
		}
	}
	for _, c := range d.workers {
		if err := d.AwaitReady(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// clientURLs returns the URLs of the NATS servers that do not go away for good.
func (d *run) clientURLs(number int) string {
	stay := len(d.Servers) - d.of.away
	return d.URLs(d.of.away + number%stay)
}

// addWorker starts another worker, under a name that none had before.
func (d *run) addWorker() error {
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
		History: d.AddHistory(name), Room: 4*d.size.count + signsRoom,
	}
	c, err := d.Start(name, roles.Worker, o)
	if err != nil {
		return err
	}
	d.workers = append(d.workers, c)
	return nil
}

// workerURL returns the URL that a worker connects to. In scenarios that slow the API
// down, it is a proxy of that worker alone.
func (d *run) workerURL(name string, number int) (string, error) {
	if !d.of.proxied {
		return d.clientURLs(number), nil
	}
	p, err := proxy.NewSlowAPI(d.Servers[number%len(d.Servers)].Addr(), &d.delay)
	if err != nil {
		return "", err
	}
	d.proxies[name] = p
	return p.URL(), nil
}

func (d *run) startSender(ctx context.Context) error {
	d.ids = filepath.Join(d.Dir, "commands.txt")
	o := roles.SenderOrder{
		URL: d.clientURLs(0), Events: d.of.events, Count: d.size.count, Every: d.size.every, Replicas: d.size.replicas,
		History: d.AddCalls("sender"), Room: 2 * d.size.count, IDs: d.ids,
	}
	var err error
	if d.sender, err = d.Start("sender", roles.Sender, o); err != nil {
		return err
	}
	return d.AwaitReady(ctx, d.sender)
}

// sent tells whether the sender knows the end of everything that it sent.
func (d *run) sent() bool {
	return d.Heard(d.sender)[roles.EventSent] > 0
}

// killWorkers kills one worker after the other, whichever runs, and starts another
// one in its place. It leaves the last running worker alone: where processes take
// long to start, nothing would ever be done otherwise.
func (d *run) killWorkers(ctx context.Context) error {
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
		d.dead[victim.Name] = history.Now()
		victim.Kill()
		if err := d.addWorker(); err != nil {
			return err
		}
	}
}

// victim takes one of the running workers out of the list. It returns nil if fewer
// than two are running.
func (d *run) victim() (*procs.Process, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var running []int
	for i, c := range d.workers {
		if !c.Alive() {
			return nil, fmt.Errorf("%s ended by itself: %w", c.Name, d.Autopsy(c))
		}
		if d.ReadyAt(c) != 0 {
			running = append(running, i)
		}
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
func (d *run) finishAll(ctx context.Context) error {
	errs := []error{world.Finish(ctx, d.sender)}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.workers {
		errs = append(errs, world.Finish(ctx, c))
	}
	return errors.Join(errs...)
}

// killAll kills what still runs.
func (d *run) killAll() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.workers {
		c.Kill()
	}
	if d.sender != nil {
		d.sender.Kill()
	}
	for _, p := range d.proxies {
		p.Close()
	}
}
