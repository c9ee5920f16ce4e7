// Package natsproxy has what all TCP proxies in front of a NATS server have in
// common: accepting and dialling, remembering connections to cut them, closing,
// and reading the protocol of NATS message by message. What a proxy does to what
// passes is its user's: Held holds a whole connection up, delays and cuts it, package lossy
// loses and delays single messages, the fault harness slows the JetStream API down.
package natsproxy

import (
	"errors"
	"net"
	"sync"
)

// Pumps says how a proxy treats the bytes that pass. Its functions are called by
// several goroutines at once.
type Pumps struct {
	// Before is called for each client before the server is dialled; nil: at once.
	Before func()
	// Closing is called by Close once all connections are cut, and ends whatever the
	// other functions wait for; nil: they do not wait.
	Closing func()
	// ToServer and ToClient pass on what comes from the other side, until one of the
	// two connections ends. Both connections are closed then.
	ToServer, ToClient func(to, from net.Conn)
}

// Proxy is a running proxy.
type Proxy struct {
	listener net.Listener
	target   string
	pumps    Pumps
	running  sync.WaitGroup

	mu      sync.Mutex // guards the next three
	conns   map[net.Conn]struct{}
	refuses bool
	closed  bool
}

// Start starts a proxy on the loopback interface in front of target, a host and a
// port.
func Start(target string, pumps Pumps) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // no name is looked up
	if err != nil {
		return nil, err
	}
	p := &Proxy{listener: l, target: target, pumps: pumps, conns: make(map[net.Conn]struct{})}
	p.running.Go(p.accept)
	return p, nil
}

// Target returns the address of the server behind the proxy.
func (p *Proxy) Target() string { return p.target }

// Addr returns the address that clients connect to, a host and a port.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// URL returns the URL that clients of NATS connect to.
func (p *Proxy) URL() string { return "nats://" + p.Addr() }

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		p.running.Go(func() { p.serve(client) })
	}
}

func (p *Proxy) serve(client net.Conn) {
	defer shut(client)
	if p.pumps.Before != nil {
		p.pumps.Before()
	}
	if p.refusing() {
		return
	}
	server, err := net.Dial("tcp", p.target) //nolint:noctx // no name is looked up
	if err != nil {
		return
	}
	defer shut(server)
	if !p.keep(client, server) {
		return
	}
	var both sync.WaitGroup
	pump := func(do func(to, from net.Conn), to, from net.Conn) {
		both.Go(func() {
			defer shut(to)
			defer shut(from)
			do(to, from)
		})
	}
	pump(p.pumps.ToServer, server, client)
	pump(p.pumps.ToClient, client, server)
	both.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, client)
	delete(p.conns, server)
}

// keep remembers two connections, to close them with the proxy. It returns false
// if that has been closed, or refuses them.
func (p *Proxy) keep(client, server net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[client], p.conns[server] = struct{}{}, struct{}{}
	return !p.closed && !p.refuses
}

// Cut ends all connections that go through the proxy now.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		shut(c)
	}
}

// Refuse ends all connections that go through the proxy now, and all that clients make from
// now on, until Accept.
func (p *Proxy) Refuse() {
	p.mu.Lock()
	p.refuses = true
	p.mu.Unlock()
	p.Cut()
}

// Accept lets clients connect again after Refuse.
func (p *Proxy) Accept() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuses = false
}

func (p *Proxy) refusing() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.refuses
}

// Close ends the proxy and all that goes through it. Clients that Before has held up
// are not connected any more. Further calls do nothing.
func (p *Proxy) Close() {
	_ = p.listener.Close() // what matters is that it is gone
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.Cut()
	if p.pumps.Closing != nil {
		p.pumps.Closing()
	}
	p.running.Wait()
}

// shut closes a connection, which may have been closed from the other side.
func shut(c net.Conn) { _ = c.Close() }
