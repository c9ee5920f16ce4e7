package feed

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
)

// Local is a transport to a handler in this process, over connections in memory: the handler
// sees a server of net/http with all that belongs to it, and no port is open.
type Local struct {
	transport *http.Transport
	server    *http.Server
	served    chan struct{} // closed when the server has ended
}

// Serve returns a transport to a handler. The caller closes it.
func Serve(handler http.Handler) *Local {
	pipes := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
	l := &Local{
		transport: &http.Transport{DialContext: pipes.dial},
		server:    &http.Server{Handler: handler, ErrorLog: log.New(io.Discard, "", 0)}, //nolint:gosec // its only client is this process
		served:    make(chan struct{}),
	}
	go func() {
		defer close(l.served)
		_ = l.server.Serve(pipes) // ends when it is closed
	}()
	return l
}

// Address is a URL of the handler.
func (l *Local) Address() string { return "http://monitor.local/" }

// RoundTrip makes a request.
func (l *Local) RoundTrip(req *http.Request) (*http.Response, error) {
	return l.transport.RoundTrip(req)
}

// Close ends all requests.
func (l *Local) Close() {
	_ = l.server.Close() // of a listener whose Close does not fail
	l.transport.CloseIdleConnections()
	<-l.served
}

// pipeListener accepts the connections that dial makes.
type pipeListener struct {
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func (p *pipeListener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case p.conns <- server:
		return client, nil
	case <-p.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept returns the next connection.
func (p *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

// Close ends Accept.
func (p *pipeListener) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

// Addr returns the address that all connections have.
func (p *pipeListener) Addr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "127.0.0.1:0" }
