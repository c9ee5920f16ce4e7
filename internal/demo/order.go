package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	orderv1 "github.com/aegisrpc/aegis/examples/order/gen/order/v1"
	"github.com/aegisrpc/aegis/examples/order/gen/order/v1/orderv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
)

const (
	orderCount    = 3000
	orderKillAt   = orderCount / 3
	orderStopAt   = orderCount * 2 / 3
	orderInFlight = 4
	// orderEvery is how often each of those that place orders places one.
	orderEvery = 3 * time.Millisecond
	// The faults, for people.
	isKilled  = "is killed (SIGKILL)"
	isStopped = "is stopped (SIGTERM)"
	// orderListLimit bounds how long it takes to list the book.
	orderListLimit = 10 * time.Second
)

// orderPart runs three order servers and a client, all processes of their own,
// kills the server that leads and stops the one that leads then, while the
// client places orders.
func orderPart(ctx context.Context, s *stage) error {
	ctx, cancel := limitPart(ctx)
	defer cancel()
	registry, err := openRegistry(ctx, s, "order.v1.OrderService")
	if err != nil {
		return err
	}
	defer registry.close()
	o := &orderShow{
		stage: s, registry: registry, servers: map[string]*process{},
		balance: &orderBalance{load: orderLoad{load: load{natsURL: s.nats.ClientURL(), count: orderCount, inFlight: orderInFlight}, every: orderEvery}},
	}
	if o.limits, err = newOrderLimits(s.dir); err != nil {
		return err
	}
	if err := o.startServers(ctx, "order-1", "order-2", "order-3"); err != nil {
		return err
	}
	if o.watcher, err = startOrderWatcher(ctx, s.nats.ClientURL()); err != nil {
		return err
	}
	defer o.watcher.close()
	if o.balance.audiences, err = startAudiences(ctx, s); err != nil {
		return err
	}
	if err := o.reloadLimits(ctx, 3); err != nil {
		return err
	}
	if err := o.runClient(ctx); err != nil {
		return err
	}
	if o.balance.listed, err = listOrders(ctx, s.nats.ClientURL()); err != nil {
		return o.servers[o.leader.Instance].failure("it leads, and the orders cannot be listed: " + err.Error())
	}
	if err := o.balance.commands.finish(ctx); err != nil {
		return err
	}
	if o.balance.streams, err = o.watcher.finish(ctx, orderCount); err != nil {
		return err
	}
	for _, audience := range o.balance.audiences {
		if err := audience.finish(ctx, orderCount); err != nil {
			return err
		}
	}
	if err := registry.show(ctx, "after the faults", serving(o.leader.Instance)); err != nil {
		return err
	}
	_, stopErr := o.servers[o.leader.Instance].terminate()
	fmt.Fprintf(s.out, "\n%s\n", o.balance)
	return errors.Join(stopErr, o.balance.check())
}

// orderShow is the part while it runs.
type orderShow struct {
	stage    *stage
	registry *registry
	servers  map[string]*process
	balance  *orderBalance
	watcher  *orderWatcher
	limits   *orderLimits
	// leader is the last order of the latest term, and so who leads.
	leader acceptedOrder
	// lost is the fault from which no next leader has followed yet.
	lost *orderFault
}

// orderFault is the loss of a leader.
type orderFault struct {
	what, after string // for people
	do          func(*process) error
	at          int // when so many orders are accepted

	leader acceptedOrder // before
	began  time.Time
}

func (o *orderShow) startServers(ctx context.Context, names ...string) error {
	servers, err := o.stage.startServers(ctx, orderServerRole, names, "--limits", o.limits.path)
	if err != nil {
		return err
	}
	for _, p := range servers {
		o.servers[p.Name] = p
	}
	o.stage.sayf("%d servers stand for election: %s", len(servers), listed(servers))
	led := ledBy(1)
	return o.registry.show(ctx, "before the faults", func(list instances) bool { return serving(names...)(list) && led(list) })
}

// runClient runs the client from its start to its report, and sees to the faults
// on the way.
func (o *orderShow) runClient(ctx context.Context) error {
	load := &o.balance.load
	client, err := o.stage.start(ctx, orderClientRole, orderClientRole, load.args()...)
	if err != nil {
		return err
	}
	o.stage.sayf("%s places %s orders, %d at a time", client, thousands(load.count), load.inFlight)
	faults := []*orderFault{
		{what: isKilled, after: "the kill", do: (*process).killRunning, at: orderKillAt},
		{what: isStopped, after: "the stop began", do: stopLeader, at: orderStopAt},
	}
	for lines := json.NewDecoder(client.stdout); ; {
		var news orderNews
		if err := lines.Decode(&news); err != nil {
			return client.failure("it ended without a report: " + err.Error())
		}
		if news.Report != nil {
			o.stage.sayf("all orders are accepted")
			o.balance.report = *news.Report
			_, err := client.finish()
			return err
		}
		if err := o.accepted(ctx, *news.Accepted); err != nil {
			return err
		}
		if len(o.balance.accepted) == orderCommandsAt {
			o.balance.commands = startReconciling(ctx, o.watcher.client)
			o.stage.sayf("%d commands to add up the first %s orders are sent, and one more, which is canceled", orderCommands, thousands(orderCommandsAt))
		}
		if len(faults) > 0 && o.lost == nil && len(o.balance.accepted) >= faults[0].at {
			if err := o.lose(faults[0]); err != nil {
				return err
			}
			faults = faults[1:]
		}
	}
}

// accepted takes note of an order, and of the leader that follows one that was
// lost. Times are of two processes, so they are compared by the machine's clock.
func (o *orderShow) accepted(ctx context.Context, order acceptedOrder) error {
	o.balance.accepted = append(o.balance.accepted, order)
	if order.Term < o.leader.Term {
		return nil // answered by a later leader, which found it in the book
	}
	if o.leader.Term == 0 {
		o.stage.sayf("%s leads", order.Instance)
	}
	o.leader = order
	if o.lost != nil && order.Term > o.lost.leader.Term {
		took := order.At.Sub(o.lost.began)
		o.balance.failovers = append(o.balance.failovers, took)
		o.stage.sayf("%s accepted the next order %v after %s", order.Instance, took.Round(time.Millisecond), o.lost.after)
		o.lost = nil
		if err := o.reloadLimits(ctx, 3-len(o.balance.failovers)); err != nil {
			return err
		}
		return o.registry.show(ctx, "meanwhile", ledBy(order.Term))
	}
	return nil
}

// lose takes the leader away.
func (o *orderShow) lose(fault *orderFault) error {
	p := o.servers[o.leader.Instance]
	if p == nil {
		return fmt.Errorf("an order was answered by %q, which was not started", o.leader.Instance)
	}
	o.stage.sayf("%s orders are accepted; %s, the leader, %s", thousands(len(o.balance.accepted)), p.Name, fault.what)
	fault.leader, fault.began = o.leader, time.Now()
	o.lost = fault
	return fault.do(p)
}

func stopLeader(p *process) error {
	_, err := p.terminate()
	return err
}

// listOrders returns the whole book.
func listOrders(ctx context.Context, natsURL string) (all []*orderv1.Order, err error) {
	conn, err := aegis.Connect(ctx, natsURL)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close(context.Background()) }() // all replies are here
	client, err := orderv1aegis.NewOrderServiceClient(conn)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, orderListLimit)
	defer cancel()
	for {
		page, err := client.ListOrders(ctx, &orderv1.ListOrdersRequest{After: uint64(len(all))})
		if err != nil || len(page.GetOrders()) == 0 {
			return all, err
		}
		all = append(all, page.GetOrders()...)
	}
}
