//go:build linux

package durable

import "time"

// size is how much there is to do, and how it is disturbed.
type size struct {
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

// Sizes.
const (
	routineItems = 10_000
	routineEvery = 4 * time.Millisecond // so that what happens meets work
)

// long goes as fast as it can; three servers share the machine.
func long(replicas int) size {
	size := size{count: 100_000, workers: 4, kill: time.Second, restarts: 2, within: 20 * time.Minute}
	if replicas > 1 {
		size.count = 20_000
	}
	return size
}

// routine is a size with a number of faults of the scenario's own kind.
func routine(change func(*size)) func(int) size {
	return func(int) size {
		size := size{count: routineItems, every: routineEvery, workers: 4, kill: time.Second, within: 10 * time.Minute}
		change(&size)
		return size
	}
}

// short is for tests.
func short(int) size {
	return size{
		count: 2000, every: time.Millisecond, workers: 3, kill: 700 * time.Millisecond, restarts: 1, within: 3 * time.Minute,
	}
}
