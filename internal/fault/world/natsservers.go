//go:build linux

package world

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/aegisrpc/aegis/internal/embednats"
	"github.com/aegisrpc/aegis/internal/fault/history"
	"github.com/aegisrpc/aegis/internal/fault/roles"
	"github.com/aegisrpc/aegis/internal/fault/wait"
	"github.com/aegisrpc/aegis/internal/natsproxy"
	"github.com/aegisrpc/aegis/internal/procs"
)

// NATSServer is a NATS server that can be killed and started again in place.
type NATSServer struct {
	*procs.Process
	order  roles.NATSOrder
	world  *World
	routes []*natsproxy.Held // those through which it reaches the others
}

// Name is the server's, in the cluster and of its files.
func (s *NATSServer) Name() string { return s.order.Name }

// Addr is where clients connect to, a host and a port.
func (s *NATSServer) Addr() string { return "127.0.0.1:" + strconv.Itoa(s.order.Port) }

func (s *NATSServer) routing() string { return "127.0.0.1:" + strconv.Itoa(s.order.Routing) }

// startServers starts one server, or a cluster in which each route goes through
// a proxy.
func (w *World) startServers(ctx context.Context) error {
	if err := w.layOut(); err != nil {
		return err
	}
	for _, s := range w.Servers {
		if err := s.start(); err != nil {
			return err
		}
	}
	for _, s := range w.Servers {
		if err := w.AwaitReady(ctx, s.Process); err != nil {
			return err
		}
		if _, err := s.Answers(ctx); err != nil {
			return err
		}
	}
	return nil
}

// layOut gives each server its ports and its files.
func (w *World) layOut() error {
	var ports freePorts
	defer ports.release() // when no proxy can take one of them any more
	for i := range w.Setup.Servers {
		s := &NATSServer{world: w, order: roles.NATSOrder{
			Name: fmt.Sprint("n", i+1), Store: filepath.Join(w.Dir, fmt.Sprint("n", i+1)),
			Log: filepath.Join(w.Dir, fmt.Sprint("n", i+1, ".nats.log")),
		}}
		if w.Tagged {
			s.order.Tags = tagsOf(i)
		}
		var err error
		if s.order.Port, err = ports.next(); err != nil {
			return err
		}
		if s.order.Routing, err = ports.next(); err != nil {
			return err
		}
		w.Servers = append(w.Servers, s)
	}
	if w.Setup.Servers > 1 {
		return w.route()
	}
	return nil
}

// The tags of servers, for the placement of streams.
const (
	TagQueue   = "queue"
	TagResults = "results"
)

// tagsOf returns the tags of the i-th server. Of five servers, two have only the
// queue, two have only results, and the first one has both.
func tagsOf(i int) []string {
	switch {
	case i == 0:
		return []string{TagQueue, TagResults}
	case i < 3:
		return []string{TagResults}
	default:
		return []string{TagQueue}
	}
}

// route lets each server reach each other one through a proxy that belongs to that
// pair alone.
func (w *World) route() error {
	for _, s := range w.Servers {
		s.order.Cluster = "fault"
		for _, other := range w.Servers {
			if other == s {
				continue
			}
			p, err := natsproxy.NewHeld(other.routing())
			if err != nil {
				return err
			}
			s.routes = append(s.routes, p)
			s.order.Peers = append(s.order.Peers, p.Addr())
		}
	}
	return nil
}

func (s *NATSServer) start() (err error) {
	s.Process, err = s.world.Start(s.order.Name, roles.NATS, s.order)
	return err
}

// Restart starts the server again on its port, with its data or without.
func (s *NATSServer) Restart(ctx context.Context, withData bool) error {
	if !withData {
		if err := os.RemoveAll(s.order.Store); err != nil {
			return err
		}
		s.world.StoreLost = true
	}
	if err := s.start(); err != nil {
		return err
	}
	return s.world.AwaitReady(ctx, s.Process)
}

// Answers returns when this server has answered a JetStream request.
func (s *NATSServer) Answers(ctx context.Context) (at int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, ReadyWithin)
	defer cancel()
	for ctx.Err() == nil {
		if err = s.ask(ctx); err == nil {
			return history.Now(), nil
		}
		wait.For(ctx, 2*time.Millisecond)
	}
	return 0, fmt.Errorf("the JetStream of %s does not answer: %w", s.order.Name, err)
}

func (s *NATSServer) ask(ctx context.Context) error {
	nc, err := nats.Connect(s.Addr(), nats.NoReconnect(), nats.Name("harness asks"))
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

func (s *NATSServer) close() {
	if s.Process != nil {
		s.Kill()
	}
	for _, p := range s.routes {
		p.Close()
	}
}

// freePorts finds ports that nobody uses, and holds all of them until the last one is
// found: a server is started on each port, and must be able to come back to it.
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

// URLs returns the client URLs of all servers. The server with the index first is the
// first one of the list.
func (w *World) URLs(first int) string {
	urls := make([]string, len(w.Servers))
	for i := range urls {
		urls[i] = "nats://" + w.Servers[(first+i)%len(w.Servers)].Addr()
	}
	return strings.Join(urls, ",")
}

// CutOff holds up all that goes between a server and the others, until Join.
func (w *World) CutOff(alone *NATSServer) { w.eachRoute(alone, (*natsproxy.Held).ShutAll) }

// Join lets everything through again between a server and the others.
func (w *World) Join(alone *NATSServer) { w.eachRoute(alone, (*natsproxy.Held).OpenAll) }

func (w *World) eachRoute(of *NATSServer, do func(*natsproxy.Held)) {
	for _, s := range w.Servers {
		for _, p := range s.routes {
			if s == of || p.Target() == of.routing() {
				do(p)
			}
		}
	}
}

// WholeStream returns nil if a stream has a leader and all its replicas, which are
// current.
func (w *World) WholeStream(ctx context.Context, name string, replicas int) error {
	stream, err := w.JS.Stream(ctx, name)
	if err != nil {
		return err
	}
	info := stream.CachedInfo().Cluster
	if info == nil || info.Leader == "" || len(info.Replicas) != replicas-1 {
		return fmt.Errorf("the stream %s lacks a leader or replicas", name)
	}
	for _, r := range info.Replicas {
		if !r.Current || r.Offline {
			return fmt.Errorf("the replica of %s on %s is not current", name, r.Name)
		}
	}
	return nil
}

// StreamLeader asks which server leads a stream, nil if none does.
func (w *World) StreamLeader(ctx context.Context, name string) (*NATSServer, error) {
	stream, err := w.JS.Stream(ctx, name)
	if err != nil {
		return nil, err
	}
	for _, s := range w.Servers {
		if info := stream.CachedInfo().Cluster; info != nil && info.Leader == s.Name() {
			return s, nil
		}
	}
	return nil, nil //nolint:nilnil // as it says
}
