//go:build linux

package main

import (
	"errors"
	"fmt"
	"time"

	aegis "github.com/aegisrpc/aegis/runtime"
)

// Sizes.
const (
	routineItems = 10_000
	routineEvery = 4 * time.Millisecond // so that what happens meets work
)

// longDurable goes as fast as it can; three servers share the machine.
func longDurable(replicas int) durableSize {
	size := durableSize{count: 100_000, workers: 4, kill: time.Second, restarts: 2, within: 20 * time.Minute}
	if replicas > 1 {
		size.count = 20_000
	}
	return size
}

// routine is a size with a number of faults of the scenario's own kind.
func routine(change func(*durableSize)) func(int) durableSize {
	return func(int) durableSize {
		size := durableSize{count: routineItems, every: routineEvery, workers: 4, kill: time.Second, within: 10 * time.Minute}
		change(&size)
		return size
	}
}

// shortDurable is for tests.
func shortDurable(int) durableSize {
	return durableSize{
		count: 2000, every: time.Millisecond, workers: 3, kill: 700 * time.Millisecond, restarts: 1, within: 3 * time.Minute,
	}
}

// shortDurables are what tests have time for.
func shortDurables() []durable {
	short := durables()[:2]
	for i := range short {
		short[i].replicas, short[i].size = []int{1}, shortDurable
	}
	return short
}

// durables are all of them, in the order of the table.
func durables() []durable {
	all := []durable{
		{
			name: "commands", what: "NATS killed, and stopped, and started again",
			replicas: []int{1, 3}, size: longDurable,
		},
		{
			name: "events", what: "the same; half of the events have keys", events: true,
			replicas: []int{1, 3}, size: longDurable,
		},
	}
	for _, d := range disturbed() {
		all = append(all, d)
		if d.servers == 0 {
			d.name, d.events = d.name+"-events", true
			all = append(all, d)
		}
	}
	return all
}

// disturbed are those with commands; most of them are there with events as well.
func disturbed() []durable {
	return []durable{
		{
			name: "hung", what: "servers that do not lead the stream stopped for 4 s",
			replicas: []int{3}, size: routine(func(s *durableSize) { s.hung = 4 }),
		},
		{
			name: "quorum", what: "two of three NATS servers killed for 6 s",
			replicas: []int{3}, only: []int{3}, size: routine(func(s *durableSize) { s.faults = 2 }), fault: loseQuorum,
		},
		{
			name: "full", what: "the account may store no more for 6 s",
			replicas: []int{1, 3}, size: routine(func(s *durableSize) { s.faults = 3 }), fault: fill, met: wasFull,
		},
		{
			name: "refused", what: "consumers refuse pulls of more than 4, in the end for good",
			replicas: []int{1, 3}, size: routine(func(s *durableSize) { s.faults = 3 }), fault: refusePulls,
		},
		{
			name: "slowapi", what: "the JetStream API answers workers after 4 s, for 15 s, and consumers get other leaders; ack wait 1 s",
			replicas: []int{3}, only: []int{3}, proxied: true,
			size: routine(func(s *durableSize) {
				s.faults, s.kill, s.ackWait, s.slow = 4, 5*time.Second, time.Second, 3*time.Second
			}), fault: slowDown, met: wasSlow,
		},
		{
			name: "resultslost", what: "the results' followers and then their leader killed, the queue on others",
			replicas: []int{3}, only: []int{3}, servers: 5, away: 3,
			size: routine(func(s *durableSize) { s.faults = 2 }), prepare: placeApart, fault: loseResults,
		},
	}
}

// wasFull: sends were refused, and were told why.
func wasFull(_ *durableRun, res *durableResult) error {
	full := aegis.CodeResourceExhausted.String()
	if res.Refusals[full] == 0 {
		return errors.New("no send was refused with " + full)
	}
	for code, n := range res.Refusals {
		if code != full {
			return fmt.Errorf("%d sends were refused with %s in place of %s", n, code, full)
		}
	}
	return nil
}

// wasSlow: requests were held up.
func wasSlow(d *durableRun, _ *durableResult) error {
	for _, p := range d.proxies {
		if p.Delayed() > 0 {
			return nil
		}
	}
	return errors.New("no request of a worker was held up")
}
