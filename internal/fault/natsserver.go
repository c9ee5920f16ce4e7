//go:build linux

package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/aegisrpc/aegis/internal/fault/roles"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/aegisrpc/aegis/internal/embednats"
	"github.com/aegisrpc/aegis/internal/fault/history"
	"github.com/aegisrpc/aegis/internal/fault/proxy"
	"github.com/aegisrpc/aegis/internal/fault/wait"
)

// natsServer is a NATS server that can be killed and started again in place.
type natsServer struct {
	*child
	order  roles.NATSOrder
	world  *world
	routes []*proxy.Held // those through which it reaches the others
}

func (s *natsServer) address() string { return "127.0.0.1:" + strconv.Itoa(s.order.Port) }

func (s *natsServer) routing() string { return "127.0.0.1:" + strconv.Itoa(s.order.Routing) }

// startServers starts one server, or a cluster in which each route goes through
// a proxy.
func (w *world) startServers(ctx context.Context) error {
	if err := w.layOut(); err != nil {
		return err
	}
	for _, s := range w.servers {
		if err := s.start(); err != nil {
			return err
		}
	}
	for _, s := range w.servers {
		if err := w.awaitReady(ctx, s.child); err != nil {
			return err
		}
		if _, err := s.answers(ctx); err != nil {
			return err
		}
	}
	return nil
}

// layOut decides who has which port.
func (w *world) layOut() error {
	var ports freePorts
	defer ports.release() // when no proxy can take one of them any more
	for i := range w.setup.servers {
		s := &natsServer{world: w, order: roles.NATSOrder{
			Name: fmt.Sprint("n", i+1), Store: filepath.Join(w.dir, fmt.Sprint("n", i+1)),
			Log: filepath.Join(w.dir, fmt.Sprint("n", i+1, ".nats.log")),
		}}
		if w.tagged {
			s.order.Tags = tagsOf(i)
		}
		var err error
		if s.order.Port, err = ports.next(); err != nil {
			return err
		}
		if s.order.Routing, err = ports.next(); err != nil {
			return err
		}
		w.servers = append(w.servers, s)
	}
	if w.setup.servers > 1 {
		return w.route()
	}
	return nil
}

// tagsOf are the tags of a server: of five, two have nothing but the queue, two
// nothing but results, and the first one has both.
func tagsOf(i int) []string {
	switch {
	case i == 0:
		return []string{tagQueue, tagResults}
	case i < 3:
		return []string{tagResults}
	default:
		return []string{tagQueue}
	}
}

// route lets each server reach each other one through a proxy of this pair.
func (w *world) route() error {
	for _, s := range w.servers {
		s.order.Cluster = "fault"
		for _, other := range w.servers {
			if other == s {
				continue
			}
			p, err := proxy.NewHeld(other.routing())
			if err != nil {
				return err
			}
			s.routes = append(s.routes, p)
			s.order.Peers = append(s.order.Peers, p.Addr())
		}
	}
	return nil
}

func (s *natsServer) start() (err error) {
	s.child, err = s.world.spawn.start(s.order.Name, "nats", s.order)
	return err
}

// restart starts the server again on its port, with its data or without.
func (s *natsServer) restart(ctx context.Context, withData bool) error {
	if !withData {
		if err := os.RemoveAll(s.order.Store); err != nil {
			return err
		}
		s.world.storeLost = true
	}
	if err := s.start(); err != nil {
		return err
	}
	return s.world.awaitReady(ctx, s.child)
}

// answers returns when this server has answered a JetStream request.
func (s *natsServer) answers(ctx context.Context) (at int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	for ctx.Err() == nil {
		if err = s.ask(ctx); err == nil {
			return history.Now(), nil
		}
		wait.For(ctx, 2*time.Millisecond)
	}
	return 0, fmt.Errorf("the JetStream of %s does not answer: %w", s.order.Name, err)
}

func (s *natsServer) ask(ctx context.Context) error {
	nc, err := nats.Connect(s.address(), nats.NoReconnect(), nats.Name("harness asks"))
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	for {
		asking, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
		_, err = js.AccountInfo(asking)
		cancel()
		if err == nil || ctx.Err() != nil || !nc.IsConnected() {
			return err
		}
	}
}

func (s *natsServer) close() {
	if s.child != nil {
		s.kill()
	}
	for _, p := range s.routes {
		p.Close()
	}
}

// freePorts finds ports that nobody uses, and holds them until all are found: a
// server is started on each, and must come back to it.
type freePorts struct{ held []net.Listener }

func (p *freePorts) next() (int, error) {
	l, err := embednats.Listen()
	if err != nil {
		return 0, err
	}
	p.held = append(p.held, l)
	return l.Addr().(*net.TCPAddr).Port, nil //nolint:forcetypeassert // it is one
}

func (p *freePorts) release() {
	for _, l := range p.held {
		_ = l.Close() // it has served its purpose
	}
}
