//go:build linux

package durable

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/aegisrpc/aegis/internal/fault/roles"
	aegisv1 "github.com/aegisrpc/aegis/proto/aegis/v1"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// Scenario is one way to disturb stored work: so much of it, while workers are
// killed and something happens to NATS. To add one, write its fault into faults.go,
// and a line into the table below.
type Scenario struct {
	Name, What string
	events     bool
	replicas   []int // of the streams, each a run of its own
	// only has the numbers of replicas with which it makes sense; nil: all.
	only    []int
	servers int // NATS servers; 0: as many as replicas
	// away is how many of the servers, the first ones, may go away for good: no
	// process is connected to them.
	away    int
	proxied bool // workers are connected through a proxy.SlowAPI each
	size    func(replicas int) size
	// prepare changes the world before the work begins.
	prepare func(context.Context, *run) error
	// fault is what happens, size.faults times.
	fault func(context.Context, *run) error
	// met returns why the run proves nothing, although it has ended well.
	met func(*run, *Result) error
}

// shortened returns the scenarios for which tests have time.
func shortened() []Scenario {
	some := scenarios()[:2]
	for i := range some {
		some[i].replicas, some[i].size = []int{1}, short
	}
	return some
}

// Scenarios returns all scenarios in the order of the table. If short is set, it
// returns those that have a short form, in that form.
func Scenarios(short bool) []Scenario {
	if short {
		return shortened()
	}
	return scenarios()
}

func scenarios() []Scenario {
	all := []Scenario{
		{
			Name: "commands", What: "NATS killed, and stopped, and started again",
			replicas: []int{1, 3}, size: long,
		},
		{
			Name: "events", What: "the same; half of the events have keys", events: true,
			replicas: []int{1, 3}, size: long,
		},
	}
	for _, d := range disturbed() {
		all = append(all, d)
		if d.servers == 0 {
			d.Name, d.events = d.Name+"-events", true
			all = append(all, d)
		}
	}
	return all
}

// disturbed returns the scenarios with commands. Most of them exist with events as
// well.
func disturbed() []Scenario {
	return []Scenario{
		{
			Name: "hung", What: "servers that do not lead the stream stopped for 4 s",
			replicas: []int{3}, size: routine(func(s *size) { s.hung = 4 }),
		},
		{
			Name: "quorum", What: "two of three NATS servers killed for 6 s",
			replicas: []int{3}, only: []int{3}, size: routine(func(s *size) { s.faults = 2 }), fault: loseQuorum,
		},
		{
			Name: "full", What: "the account may store no more for 6 s",
			replicas: []int{1, 3}, size: routine(func(s *size) { s.faults = 3 }), fault: fill, met: wasFull,
		},
		{
			Name: "refused", What: "consumers refuse pulls of more than 4, in the end for good",
			replicas: []int{1, 3}, size: routine(func(s *size) { s.faults = 3 }), fault: refusePulls,
		},
		{
			Name: "slowapi", What: "the JetStream API answers workers after 4 s, for 15 s, and consumers get other leaders; ack wait 1 s",
			replicas: []int{3}, only: []int{3}, proxied: true,
			size: routine(func(s *size) {
				s.faults, s.kill, s.ackWait, s.slow = 4, 5*time.Second, time.Second, 3*time.Second
			}), fault: slowDown, met: wasSlow,
		},
		{
			Name: "resultslost", What: "the results' followers and then their leader killed, the queue on others",
			replicas: []int{3}, only: []int{3}, servers: 5, away: 3,
			size: routine(func(s *size) { s.faults = 2 }), prepare: placeApart, fault: loseResults,
		},
	}
}

// wasFull checks that sends were refused, and that their senders were told why.
func wasFull(_ *run, res *Result) error {
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

// wasSlow checks that requests of workers were held up.
func wasSlow(d *run, _ *Result) error {
	for _, p := range d.proxies {
		if p.Delayed() > 0 {
			return nil
		}
	}
	return errors.New("no request of a worker was held up")
}

// limits returns the limits of the proto, with the ack wait that was asked for.
func (d *Scenario) limits(asked time.Duration) (attempts int, ackWait time.Duration, err error) {
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
