package demo

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"
)

const (
	// faultEvery is the time between two faults.
	faultEvery = 15 * time.Second
	// freezeFor is how long a server is paused.
	freezeFor = 5 * time.Second
)

// lastingFault is done to a server, to the leader of the order service if none is named.
type lastingFault struct {
	victim string
	harm   *harm
}

// harm is what is done to a server.
type harm struct {
	what string
	do   func(context.Context, *keeper) error
}

var (
	killed = &harm{isKilled, func(_ context.Context, k *keeper) error { return k.signal(syscall.SIGKILL) }}
	halted = &harm{isStopped, func(_ context.Context, k *keeper) error { return k.signal(syscall.SIGTERM) }}
	frozen = &harm{fmt.Sprintf("is paused for %v (SIGSTOP)", freezeFor), pauseServer}
)

var lastingFaults = []lastingFault{
	{"", killed}, {"echo-1", halted}, {"echo-2", frozen}, {"", halted}, {"risk-1", killed}, {"", frozen}, {"echo-3", killed},
}

// fault does a fault from time to time, another one each time, until ctx ends.
func (l *lasting) fault(ctx context.Context) {
	for n := 0; rest(ctx, faultEvery); n++ {
		f := lastingFaults[n%len(lastingFaults)]
		name, what := f.victim, f.harm.what
		if name == "" {
			name, what = l.leader(ctx), "leads, and "+what
		}
		k := l.keepers[name]
		if k == nil {
			l.stage.sayf("nobody leads the order service now, and so no fault is done")
			continue
		}
		l.stage.sayf("%s %s", name, what)
		if err := f.harm.do(ctx, k); err != nil && !errors.Is(err, errNotRunning) {
			l.stage.sayf("%s: %v", name, err)
		}
	}
}

// pauseServer has a server do nothing for a while, as if its machine hung.
func pauseServer(ctx context.Context, k *keeper) error {
	p, err := k.running()
	if err != nil {
		return err
	}
	if err := p.Freeze(); err != nil {
		return err
	}
	rest(ctx, freezeFor)
	return p.Thaw()
}

// leader returns the name of the order server that leads, "" if none does.
func (l *lasting) leader(ctx context.Context) string {
	list, err := l.registry.conn.Instances(ctx, l.registry.service)
	if err != nil {
		return ""
	}
	term := instances(list).term()
	for _, i := range list {
		for _, t := range i.Leading {
			if t.Token == term {
				return i.Name
			}
		}
	}
	return ""
}

// rest waits, and returns false when ctx ends before the time is over.
func rest(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
