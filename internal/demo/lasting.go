package demo

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/aegisrpc/aegis/examples/echo/gen/echo/v1/echov1aegis"
	"github.com/aegisrpc/aegis/examples/order/gen/order/v1/orderv1aegis"
	"github.com/aegisrpc/aegis/internal/devstate"
)

// sayEvery is how often the lasting demo says how the load goes.
const sayEvery = 10 * time.Second

// lasting is the demo that goes on until its context ends: servers that are started again
// when they end, their load, and faults.
type lasting struct {
	stage    *stage
	registry *registry // of the order service, which has a leader
	keepers  map[string]*keeper
	load     *lastingLoad
	register *devstate.Register // nil if another demo of this user runs
}

// showLasting runs the demo that goes on. It returns when no process is left.
func (s *stage) showLasting(ctx context.Context, p Program) error {
	faults := !p.NoFaults
	registry, err := openRegistry(ctx, s, orderv1aegis.OrderServiceName)
	if err != nil {
		return err
	}
	defer registry.close()
	l := &lasting{stage: s, registry: registry, keepers: map[string]*keeper{}}
	limits, err := newOrderLimits(s.dir)
	if err != nil {
		return err
	}
	defer l.announce(faults)()

	var servers sync.WaitGroup
	defer servers.Wait()
	if p.Monitor {
		stop, err := l.monitor(ctx)
		if err != nil {
			return err
		}
		defer stop()
	}
	keeping, end := context.WithCancel(context.WithoutCancel(ctx)) // beyond the load
	defer end()
	l.start(keeping, &servers, limits)
	if err := l.await(ctx); err != nil {
		return err
	}
	if l.load, err = newLastingLoad(ctx, s, limits); err != nil {
		return err
	}
	defer l.load.close()
	l.hint(faults)
	l.run(ctx, faults)
	s.sayf("stopping; in all %s", l.load.total())
	return l.load.problem()
}

// announce has aegis chaos find the servers. The returned function has it find them no more.
func (l *lasting) announce(faults bool) (end func()) {
	place, err := devstate.Demo()
	if err == nil {
		err = os.MkdirAll(place.Dir, 0o700)
	}
	if err != nil {
		l.stage.sayf("aegis chaos --demo will not find this demo: %v", err)
		return func() {}
	}
	lock, err := place.Lock()
	if err != nil {
		l.stage.sayf("aegis chaos --demo will not find this demo: %v", err)
		return func() {}
	}
	state := devstate.State{NATS: l.stage.nats.ClientURL(), Faults: faults}
	l.register = devstate.NewRegister(place, state, func(err error) { l.stage.sayf("aegis chaos --demo will not find the servers: %v", err) })
	return func() {
		l.register.Close()
		_ = os.RemoveAll(place.Dir) // what is left does no harm
		_ = lock.Close()            // nothing is written any more
	}
}

// start starts all servers.
func (l *lasting) start(ctx context.Context, servers *sync.WaitGroup, limits *orderLimits) {
	serve := []string{"--heartbeat", heartbeat.String()}
	var again []chan struct{}
	for _, kind := range []struct {
		name, role string
		count      int
		args       []string
	}{
		{"echo", echoServerRole, 3, append(serve, "--delay", echoDelay.String())},
		{"order", orderServerRole, 3, append(serve, "--limits", limits.path)},
		{riskKind, orderWatcherRole, 2, []string{"--as", riskKind}},
		{monitorKind, orderWatcherRole, 1, []string{"--as", monitorKind}},
	} {
		for number := range kind.count {
			k := &keeper{
				stage: l.stage, name: fmt.Sprintf("%s-%d", kind.name, number+1), role: kind.role, args: kind.args,
				again: make(chan struct{}, 1), report: l.report,
			}
			l.keepers[k.name] = k
			again = append(again, k.again)
			servers.Go(func() { k.run(ctx) })
		}
	}
	servers.Go(devstate.PassStartAgain(ctx, again))
}

func (l *lasting) report(name string, pid int) {
	if l.register != nil {
		l.register.Runs(devstate.Server{Name: name, PID: pid})
	}
}

// await waits until all instances serve and one of them leads.
func (l *lasting) await(ctx context.Context) error {
	ctx, cancel := limitPart(ctx)
	defer cancel()
	echo, err := openRegistry(ctx, l.stage, echov1aegis.EchoServiceName)
	if err != nil {
		return err
	}
	defer echo.close()
	if err := echo.show(ctx, "of the echo service", serving("echo-1", "echo-2", "echo-3")); err != nil {
		return err
	}
	all, led := serving("order-1", "order-2", "order-3"), ledBy(1)
	return l.registry.show(ctx, "of the order service", func(list instances) bool { return all(list) && led(list) })
}

// hint says what to do with the demo.
func (l *lasting) hint(faults bool) {
	server := "--server " + l.stage.nats.ClientURL()
	lines := []string{
		"aegis watch " + server,
		"aegis call " + server + " " + orderv1aegis.OrderServiceName + "/ListOrders",
		"aegis commands list " + server + " " + orderv1aegis.OrderServiceName + "/ReconcileBook",
	}
	if l.register != nil && !faults {
		lines = append(lines, "aegis chaos kill --demo "+echov1aegis.EchoServiceName+`/Echo '{"text": "hello"}'`)
	}
	l.stage.sayf("it goes on until Ctrl-C; see for yourself in another terminal:\n\t%s", strings.Join(lines, "\n\t"))
}

// run makes the load, the faults, and says how it goes, until ctx ends.
func (l *lasting) run(ctx context.Context, faults bool) {
	var all sync.WaitGroup
	defer all.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	all.Go(func() { l.load.run(ctx) })
	if faults {
		all.Go(func() { l.fault(ctx) })
	}
	say := time.NewTicker(sayEvery)
	defer say.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.load.failed:
			return
		case <-say.C:
			l.stage.sayf("%s", l.load.recent())
		}
	}
}
