package demo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// The kinds of programs that are told of orders.
const (
	riskKind    = "risk"
	monitorKind = "monitor"
)

// orderAudience has to get every event OrderPlaced: it is one monitor, or the
// instances of the risk service, which share the events.
type orderAudience struct {
	name      string
	processes []*process
	reading   sync.WaitGroup // of what the processes print

	mu         sync.Mutex
	deliveries map[string]int // by order
	handled    []int          // by process
	disorder   []string       // orders that came after a later one of their symbol
	ended      bool           // one of the processes has
}

// startAudiences starts two instances of the risk service and two monitors.
func startAudiences(ctx context.Context, s *stage) (all []*orderAudience, err error) {
	var processes []*process
	for _, a := range []struct {
		kind  string
		names []string
	}{{riskKind, []string{"risk-1", "risk-2"}}, {monitorKind, []string{"monitor-1"}}, {monitorKind, []string{"monitor-2"}}} {
		audience, err := startAudience(ctx, s, a.kind, a.names...)
		if err != nil {
			return nil, err
		}
		all = append(all, audience)
		processes = append(processes, audience.processes...)
	}
	s.sayf("the risk servers share the events OrderPlaced, each monitor gets all: %s", listed(processes))
	return all, nil
}

func startAudience(ctx context.Context, s *stage, kind string, names ...string) (*orderAudience, error) {
	a := &orderAudience{name: kind, deliveries: map[string]int{}, handled: make([]int, len(names))}
	if len(names) == 1 {
		a.name = names[0]
	}
	for i, name := range names {
		p, err := s.start(ctx, name, orderWatcherRole, "--nats", s.nats.ClientURL(), "--as", kind, "--name", name)
		if err != nil {
			return nil, err
		}
		if err := p.awaitLine("is RUNNING"); err != nil {
			return nil, err
		}
		a.processes = append(a.processes, p)
		a.reading.Go(func() { a.read(i, p) })
	}
	return a, nil
}

// read takes note of the events that a process prints, until it ends.
func (a *orderAudience) read(i int, p *process) {
	latest := map[string]uint64{} // by symbol
	for {
		line, err := p.stdout.ReadString('\n')
		if err != nil {
			break
		}
		var sequence uint64
		var id, symbol string
		var quantity int64
		if _, err := fmt.Sscanf(line, "order %d %s %d %s", &sequence, &id, &quantity, &symbol); err != nil {
			continue // it says how it is
		}
		a.note(i, strings.TrimSuffix(id, ":"), sequence < latest[symbol])
		latest[symbol] = max(latest[symbol], sequence)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ended = true
}

// note counts a delivery. One that is not the first may be late.
func (a *orderAudience) note(process int, id string, late bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.deliveries[id]++
	a.handled[process]++
	if late && a.deliveries[id] == 1 {
		a.disorder = append(a.disorder, id)
	}
}

// finish waits until so many orders are told, and stops the processes.
func (a *orderAudience) finish(ctx context.Context, orders int) error {
	if err := await(ctx, func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return len(a.deliveries) >= orders || a.ended
	}); err != nil {
		return fmt.Errorf("%s was not told of all %d orders: %w", a.name, orders, err)
	}
	var errs []error
	for _, p := range a.processes {
		errs = append(errs, p.Signal(syscall.SIGTERM))
	}
	a.reading.Wait()
	for _, p := range a.processes {
		_, err := p.finish()
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// delivered is how many events came, told by whom where there are several.
func (a *orderAudience) delivered() (n int, by string) {
	var all []string
	for i, p := range a.processes {
		n += a.handled[i]
		all = append(all, fmt.Sprintf("%s by %s", thousands(a.handled[i]), p.Name))
	}
	return n, strings.Join(all, ", ")
}

// missed returns the accepted orders that the audience was not told of, and the ids
// that it was told of and that are no accepted orders.
func (a *orderAudience) missed(accepted []acceptedOrder) (missed, strangers []string) {
	known := map[string]bool{}
	for _, o := range accepted {
		known[o.ID] = true
		if a.deliveries[o.ID] == 0 {
			missed = append(missed, o.ID)
		}
	}
	for id := range a.deliveries {
		if !known[id] {
			strangers = append(strangers, id)
		}
	}
	slices.Sort(strangers)
	return missed, strangers
}
