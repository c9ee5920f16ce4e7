package natschart

import (
	"io"
	"net"
	"sync"
)

// service is what a Service of Kubernetes is to new connections. Each goes to one of the servers that are
// ready, in turn; a connection that exists stays with its server until one of both ends it.
type service struct {
	listener net.Listener
	ready    func() []string // the addresses of servers that are ready
	next     int
	working  sync.WaitGroup

	mu   sync.Mutex
	open map[net.Conn]bool // nil: the service has stopped
}

func startService(ready func() []string) (*service, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // no name is looked up
	if err != nil {
		return nil, err
	}
	s := &service{listener: l, ready: ready, open: map[net.Conn]bool{}}
	s.working.Go(s.accept)
	return s, nil
}

func (s *service) accept() {
	for {
		client, err := s.listener.Accept()
		if err != nil {
			return // it was closed
		}
		addresses := s.ready()
		if len(addresses) == 0 {
			_ = client.Close() // as if it was refused
			continue
		}
		s.next++
		address := addresses[s.next%len(addresses)]
		s.working.Go(func() { s.connect(client, address) })
	}
}

func (s *service) connect(client net.Conn, address string) {
	defer client.Close()                    //nolint:errcheck // both ways have ended
	server, err := net.Dial("tcp", address) //nolint:noctx // no name is looked up
	if err != nil {
		return
	}
	defer server.Close() //nolint:errcheck // as above
	if !s.keep(client, server) {
		return
	}
	defer s.forget(client, server)
	var ways sync.WaitGroup
	ways.Go(func() { forward(server, client) })
	ways.Go(func() { forward(client, server) })
	ways.Wait()
}

// forward copies until the end, which it passes on after all that came before.
func forward(to, from net.Conn) {
	if _, err := io.Copy(to, from); err != nil {
		_ = from.Close() // it was reset, or nobody reads any more
		_ = to.Close()
		return
	}
	_ = to.(*net.TCPConn).CloseWrite() // fails only if it is closed
}

func (s *service) keep(conns ...net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		return false
	}
	for _, c := range conns {
		s.open[c] = true
	}
	return true
}

func (s *service) forget(conns ...net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range conns {
		delete(s.open, c)
	}
}

func (s *service) stop() {
	_ = s.listener.Close() // it was only accepted from
	s.mu.Lock()
	for c := range s.open {
		_ = c.Close() // nobody needs it any more
	}
	s.open = nil
	s.mu.Unlock()
	s.working.Wait()
}
