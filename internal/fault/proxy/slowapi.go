// Package proxy has a proxy that the fault harness puts in front of NATS servers: SlowAPI
// holds up nothing but requests to JetStream.
package proxy

import (
	"bufio"
	"maps"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	faultv1 "github.com/aegisrpc/aegis/internal/fault/gen/fault/v1"
	"github.com/aegisrpc/aegis/internal/fault/history"
	"github.com/aegisrpc/aegis/internal/natsproxy"
)

// SlowAPI stands between one client and a NATS server. While it is slow it holds up
// requests to the JetStream API, and nothing else: messages and signs of life pass
// them. It notes which messages consumers deliver to the client.
type SlowAPI struct {
	*natsproxy.Proxy

	delay   *atomic.Int64 // in nanoseconds; 0: it is not slow
	delayed atomic.Int64  // requests

	mu    sync.Mutex         // guards given
	given map[uint64][]int64 // when an item was delivered, by its id
}

// NewSlowAPI starts a proxy that holds requests up for as long as delay says, in
// nanoseconds, when they come.
func NewSlowAPI(target string, delay *atomic.Int64) (*SlowAPI, error) {
	s := &SlowAPI{delay: delay, given: make(map[uint64][]int64)}
	var err error
	s.Proxy, err = natsproxy.Start(target, natsproxy.Pumps{
		ToServer: func(to, from net.Conn) { s.fromClient(to, bufio.NewReader(from)) },
		ToClient: func(to, from net.Conn) { s.fromServer(to, bufio.NewReader(from)) },
	})
	return s, err
}

// Delayed is how many requests were held up.
func (s *SlowAPI) Delayed() int { return int(s.delayed.Load()) }

// Delivered is when each item was delivered, by its id.
func (s *SlowAPI) Delivered() map[uint64][]int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.given)
}

// fromServer passes on what the server sends.
func (s *SlowAPI) fromServer(to net.Conn, from *bufio.Reader) {
	for {
		data, m, err := natsproxy.ReadOperation(from)
		if err != nil {
			return
		}
		if m != nil && strings.HasPrefix(m.Reply, "$JS.ACK.") {
			s.note(m.Body)
		}
		if _, err := to.Write(data); err != nil {
			return
		}
	}
}

// note notes that an item is delivered.
func (s *SlowAPI) note(body []byte) {
	item := new(faultv1.ChangedRequest) // the id is the same field of all that is stored
	if proto.Unmarshal(body, item) != nil {
		return // of somebody else
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.given[item.GetId()] = append(s.given[item.GetId()], history.Now())
}

// fromClient passes on what the client sends, or holds it up.
func (s *SlowAPI) fromClient(to net.Conn, from *bufio.Reader) {
	var mu sync.Mutex
	write := func(data []byte) bool {
		mu.Lock()
		defer mu.Unlock()
		_, err := to.Write(data)
		return err == nil
	}
	for {
		data, m, err := natsproxy.ReadOperation(from)
		if err != nil {
			return
		}
		if delay := time.Duration(s.delay.Load()); delay > 0 && m != nil && ofAPI(m.Subject) {
			s.delayed.Add(1)
			time.AfterFunc(delay, func() { write(data) }) // fails if the client is gone
			continue
		}
		if !write(data) {
			return
		}
	}
}

// ofAPI tells whether a subject belongs to the API; to ask a consumer for messages
// is no request that is answered.
func ofAPI(subject string) bool {
	const api, next = "$JS.API.", "$JS.API.CONSUMER.MSG.NEXT."
	return strings.HasPrefix(subject, api) && !strings.HasPrefix(subject, next)
}
