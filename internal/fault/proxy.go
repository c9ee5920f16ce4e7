//go:build linux

package main

import (
	"errors"
	"net"
	"sync"
)

// proxy stands between a client, or a NATS server, and a NATS server. What it
// holds back it delivers when it is opened again, as a network does whose packets
// are sent again: writes that come late are part of what is tested.
type proxy struct {
	listener net.Listener
	target   string
	there    gate // to the target
	back     gate // from it

	mu     sync.Mutex
	conns  map[net.Conn]struct{}
	closed bool
	done   sync.WaitGroup
}

func newProxy(target string) (*proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // no name is looked up
	if err != nil {
		return nil, err
	}
	p := &proxy{listener: l, target: target, conns: make(map[net.Conn]struct{})}
	p.there.open()
	p.back.open()
	p.done.Go(p.accept)
	return p, nil
}

func (p *proxy) address() string { return p.listener.Addr().String() }

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		p.done.Go(func() { p.serve(client) })
	}
}

func (p *proxy) serve(client net.Conn) {
	defer shut(client)
	p.there.wait() // one who connects through a hole waits
	p.back.wait()
	server, err := net.Dial("tcp", p.target) //nolint:noctx // no name is looked up
	if err != nil {
		return
	}
	defer shut(server)
	if !p.keep(client, server) {
		return
	}
	var pumps sync.WaitGroup
	pumps.Go(func() { pump(server, client, &p.there) })
	pumps.Go(func() { pump(client, server, &p.back) })
	pumps.Wait()
	p.mu.Lock()
	delete(p.conns, client)
	delete(p.conns, server)
	p.mu.Unlock()
}

// keep remembers two connections, to close them with the proxy.
func (p *proxy) keep(client, server net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[client], p.conns[server] = struct{}{}, struct{}{}
	return !p.closed
}

// pump copies in one direction, and closes both ends when one is closed.
func pump(to, from net.Conn, g *gate) {
	defer shut(to)
	defer shut(from)
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		g.wait()
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// shut closes a connection, which may have been closed from the other side.
func shut(c net.Conn) { _ = c.Close() }

// cut ends all that goes through the proxy now.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		shut(c)
	}
}

// close ends the proxy and all that goes through it.
func (p *proxy) close() {
	_ = p.listener.Close() // what matters is that it is gone
	p.there.open()
	p.back.open()
	p.mu.Lock()
	p.closed = true
	for c := range p.conns {
		shut(c)
	}
	p.mu.Unlock()
	p.done.Wait()
}

// gate lets through or holds back.
type gate struct {
	mu   sync.Mutex
	hold chan struct{} // closed while it is open
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.hold == nil {
		g.hold = make(chan struct{})
	}
	select {
	case <-g.hold:
	default:
		close(g.hold)
	}
}

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.hold = make(chan struct{})
}

func (g *gate) wait() {
	for {
		g.mu.Lock()
		hold := g.hold
		g.mu.Unlock()
		<-hold
		g.mu.Lock()
		same := hold == g.hold
		g.mu.Unlock()
		if same {
			return
		}
	}
}
