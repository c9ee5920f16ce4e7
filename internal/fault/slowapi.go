//go:build linux

package main

import (
	"bufio"
	"io"
	"maps"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	faultv1 "github.com/aegisrpc/aegis/internal/fault/gen/fault/v1"
	"github.com/aegisrpc/aegis/internal/fault/history"
)

// slowAPI stands between one client and a NATS server. While it is slow it holds up
// requests to the JetStream API, and nothing else: messages and signs of life pass
// them. It notes which messages consumers deliver to the client.
type slowAPI struct {
	listener net.Listener
	target   string
	delay    *atomic.Int64 // in nanoseconds; 0: it is not slow
	delayed  atomic.Int64  // requests
	running  sync.WaitGroup

	mu     sync.Mutex
	conns  []net.Conn
	given  map[uint64][]int64 // when an item was delivered
	closed bool
}

func newSlowAPI(target string, delay *atomic.Int64) (*slowAPI, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // no name is looked up
	if err != nil {
		return nil, err
	}
	s := &slowAPI{listener: l, target: target, delay: delay, given: make(map[uint64][]int64)}
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
	pumps.Go(func() { s.fromServer(client, bufio.NewReader(server)); shut(client) })
	pumps.Go(func() { s.fromClient(server, bufio.NewReader(client)); shut(server) })
	pumps.Wait()
}

// fromServer passes on what the server sends.
func (s *slowAPI) fromServer(to net.Conn, from *bufio.Reader) {
	for {
		data, m, err := readOperation(from)
		if err != nil {
			return
		}
		if m != nil && strings.HasPrefix(m.reply, "$JS.ACK.") {
			s.note(m.body)
		}
		if _, err := to.Write(data); err != nil {
			return
		}
	}
}

// note notes that an item is delivered.
func (s *slowAPI) note(body []byte) {
	item := new(faultv1.ChangedRequest) // the id is the same field of all that is stored
	if proto.Unmarshal(body, item) != nil {
		return // of somebody else
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.given[item.GetId()] = append(s.given[item.GetId()], history.Now())
}

// fromClient passes on what the client sends, or holds it up.
func (s *slowAPI) fromClient(to net.Conn, from *bufio.Reader) {
	var mu sync.Mutex
	write := func(data []byte) bool {
		mu.Lock()
		defer mu.Unlock()
		_, err := to.Write(data)
		return err == nil
	}
	for {
		data, m, err := readOperation(from)
		if err != nil {
			return
		}
		if delay := time.Duration(s.delay.Load()); delay > 0 && m != nil && ofAPI(m.subject) {
			s.delayed.Add(1)
			time.AfterFunc(delay, func() { write(data) }) // fails if the client is gone
			continue
		}
		if !write(data) {
			return
		}
	}
}

// carried is a message in the protocol of NATS.
type carried struct {
	subject, reply string
	header, size   int // in bytes; size includes the header
	body           []byte
}

// readOperation reads one operation of the protocol, a message as a whole; nil says
// that it is none.
func readOperation(from *bufio.Reader) (data []byte, m *carried, err error) {
	data, err = from.ReadBytes('\n')
	if err != nil {
		return nil, nil, err
	}
	if m = parseCarried(data); m == nil {
		return data, nil, nil
	}
	rest := make([]byte, m.size+len("\r\n"))
	if _, err := io.ReadFull(from, rest); err != nil {
		return nil, nil, err
	}
	m.body = rest[m.header:m.size]
	return append(data, rest...), m, nil
}

// parseCarried reads the line that begins a message; nil says that it is another one:
//
//	PUB subject [reply] size
//	HPUB subject [reply] size-of-header size
//	MSG subject sid [reply] size
//	HMSG subject sid [reply] size-of-header size
func parseCarried(line []byte) *carried {
	fields := strings.Fields(string(line))
	if len(fields) < 3 {
		return nil
	}
	op, fields := fields[0], fields[1:]
	m := &carried{subject: fields[0]}
	fields = fields[1:]
	switch op {
	case "PUB", "HPUB":
	case "MSG", "HMSG":
		fields = fields[1:] // the sid
	default:
		return nil
	}
	numbers := 1
	if op[0] == 'H' {
		numbers = 2
	}
	if len(fields) < numbers || len(fields) > numbers+1 {
		return nil
	}
	if len(fields) > numbers {
		m.reply = fields[0]
	}
	sizes := fields[len(fields)-numbers:]
	if m.size = atoi(sizes[numbers-1]); numbers == 2 {
		m.header = atoi(sizes[0])
	}
	if m.header < 0 || m.size < m.header {
		return nil
	}
	return m
}

func atoi(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return -1
	}
	return n
}

// ofAPI tells whether a subject belongs to the API; to ask a consumer for messages
// is no request that is answered.
func ofAPI(subject string) bool {
	const api, next = "$JS.API.", "$JS.API.CONSUMER.MSG.NEXT."
	return strings.HasPrefix(subject, api) && !strings.HasPrefix(subject, next)
}

// delivered is when each item was delivered.
func (s *slowAPI) delivered() map[uint64][]int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.given)
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
