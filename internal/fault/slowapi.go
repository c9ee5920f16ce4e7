//go:build linux

package main

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// slowAPI stands between one client and a NATS server. While it is slow it holds up
// requests to the JetStream API, and nothing else: messages and signs of life pass
// them.
type slowAPI struct {
	listener net.Listener
	target   string
	delay    *atomic.Int64 // in nanoseconds; 0: it is not slow
	delayed  atomic.Int64  // requests
	running  sync.WaitGroup

	mu     sync.Mutex
	conns  []net.Conn
	closed bool
}

func newSlowAPI(target string, delay *atomic.Int64) (*slowAPI, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // no name is looked up
	if err != nil {
		return nil, err
	}
	s := &slowAPI{listener: l, target: target, delay: delay}
	s.running.Go(s.accept)
	return s, nil
}

func (s *slowAPI) url() string { return "nats://" + s.listener.Addr().String() }

func (s *slowAPI) accept() {
	for {
		client, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.running.Go(func() { s.serve(client) })
	}
}

func (s *slowAPI) serve(client net.Conn) {
	defer shut(client)
	server, err := net.Dial("tcp", s.target) //nolint:noctx // no name is looked up
	if err != nil {
		return
	}
	defer shut(server)
	s.mu.Lock()
	s.conns = append(s.conns, client, server)
	closed := s.closed
	s.mu.Unlock()
	if closed {
		return
	}
	var pumps sync.WaitGroup
	pumps.Go(func() { _, _ = io.Copy(client, server); shut(client) })
	pumps.Go(func() { s.pump(server, bufio.NewReader(client)); shut(server) })
	pumps.Wait()
}

// pump reads what the client sends, line by line, and messages as a whole.
func (s *slowAPI) pump(to net.Conn, from *bufio.Reader) {
	var mu sync.Mutex
	write := func(data []byte) bool {
		mu.Lock()
		defer mu.Unlock()
		_, err := to.Write(data)
		return err == nil
	}
	for {
		line, err := from.ReadBytes('\n')
		if err != nil {
			return
		}
		subject, size := publication(line)
		if size >= 0 {
			rest := make([]byte, size+len("\r\n"))
			if _, err := io.ReadFull(from, rest); err != nil {
				return
			}
			line = append(line, rest...)
		}
		if delay := time.Duration(s.delay.Load()); delay > 0 && ofAPI(subject) {
			s.delayed.Add(1)
			time.AfterFunc(delay, func() { write(line) }) // fails if the client is gone
			continue
		}
		if !write(line) {
			return
		}
	}
}

// publication reads the line that begins a message of a client; a size of -1 says
// that the line is another one:
//
//	PUB subject [reply] size
//	HPUB subject [reply] size-of-headers size
func publication(line []byte) (subject string, size int) {
	fields := bytes.Fields(line)
	if len(fields) < 3 || !bytes.Equal(fields[0], []byte("PUB")) && !bytes.Equal(fields[0], []byte("HPUB")) {
		return "", -1
	}
	size, err := strconv.Atoi(string(fields[len(fields)-1]))
	if err != nil {
		return "", -1
	}
	return string(fields[1]), size
}

// ofAPI tells whether a subject belongs to the API; to ask a consumer for messages
// is no request that is answered.
func ofAPI(subject string) bool {
	const api, next = "$JS.API.", "$JS.API.CONSUMER.MSG.NEXT."
	return strings.HasPrefix(subject, api) && !strings.HasPrefix(subject, next)
}

// close ends the proxy and all that goes through it.
func (s *slowAPI) close() {
	_ = s.listener.Close() // what matters is that it is gone
	s.mu.Lock()
	s.closed = true
	for _, c := range s.conns {
		shut(c)
	}
	s.mu.Unlock()
	s.running.Wait()
}
