package collect

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/aegisrpc/aegis/internal/wire"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/board"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/figures"
	"github.com/aegisrpc/aegis/runtime/health"
)

const (
	// subscriberSuffix ends the name of a subscriber in NATS micro.
	subscriberSuffix = "-events"
	roleSubscriber   = "subscriber"

	// maxMethods bounds the methods of an instance, and maxMethodName the name of one.
	// More than any service has is no reply of an instance.
	maxMethods    = 2000
	maxMethodName = 200
)

// replies are those of a round. They are safe for concurrent use.
type replies struct {
	take func(*statsReply) (member, bool) // tells the board; false if it is of no known instance

	mu        sync.Mutex // guards all below
	waiting   map[member]bool
	all       chan struct{} // closed when nobody is waited for
	last      time.Time     // when the last reply came, or the first question was sent
	malformed bool          // something came in this round that is no reply
}

// begin begins a round in which the instances are asked that answer at all. The channel that
// it returns is closed when they all have.
func (r *replies) begin(list []aegis.Instance) <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting, r.all = make(map[member]bool, len(list)), make(chan struct{})
	r.malformed = false
	for i := range list {
		if list[i].State != aegis.StateStarting {
			r.waiting[memberOf(&list[i])] = true
		}
	}
	if len(r.waiting) == 0 {
		close(r.all)
	}
	if len(r.waiting) == 0 || r.last.IsZero() {
		r.last = time.Now()
	}
	return r.all
}

// names returns the names of all that are waited for, in order.
func (r *replies) names() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var names []string
	for m := range r.waiting {
		names = append(names, microName(m.service, m.subscriber))
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// silent returns for how long nobody has replied who was asked.
func (r *replies) silent(now time.Time) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last.IsZero() {
		return 0
	}
	return now.Sub(r.last)
}

func (r *replies) hasMalformed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.malformed
}

// heard takes a reply. One that comes late counts in the round of now.
func (r *replies) heard(msg *nats.Msg) {
	if len(msg.Data) == 0 && msg.Header.Get("Status") != "" {
		return // nobody listens there
	}
	reply, ok := decodeStats(msg.Data)
	if !ok {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.malformed = true
		return
	}
	from, known := r.take(reply)
	r.mu.Lock()
	defer r.mu.Unlock()
	if !known {
		return // it has just joined, or is of another namespace
	}
	r.last = time.Now()
	if r.waiting[from] {
		delete(r.waiting, from)
		if len(r.waiting) == 0 {
			close(r.all)
		}
	}
}

// statsReply is the reply of an instance as far as it is read.
type statsReply struct {
	Type      string            `json:"type"`
	Name      string            `json:"name"`
	ID        string            `json:"id"`
	Metadata  map[string]string `json:"metadata"`
	Endpoints []endpointStats   `json:"endpoints"`
}

type endpointStats struct {
	Name     string       `json:"name"`
	Requests int64        `json:"num_requests"`
	Errors   int64        `json:"num_errors"`
	Data     methodReport `json:"data"`
}

// decodeStats reads a reply. It returns false for what is none of an instance of Aegis. A
// value of another type than it should have is left out, and the rest is read.
func decodeStats(data []byte) (*statsReply, bool) {
	var s statsReply
	var malformed *json.SyntaxError
	if errors.As(json.Unmarshal(data, &s), &malformed) || s.Type != micro.StatsResponseType || len(s.Endpoints) > maxMethods {
		return nil, false
	}
	service := s.Metadata["service"]
	return &s, service != "" && s.Name == microName(service, s.subscriber())
}

func (s *statsReply) subscriber() bool { return s.Metadata["role"] == roleSubscriber }

// takeStats tells the board what an instance has counted. It returns false for a reply of
// no known instance of this namespace.
func (c *Collector) takeStats(s *statsReply) (member, bool) {
	from := member{s.Metadata["service"], s.ID, s.subscriber()}
	name, known := c.roster.name(from)
	if !known || s.Metadata["namespace"] != c.in.Layout.Namespace {
		return from, false
	}
	service := from.service
	if from.subscriber {
		service = wire.SubscribersOf(service)
	}
	c.board.Stats(time.Now(), &board.Stats{Service: service, Instance: name, Process: from.process, Methods: s.methods()})
	return from, true
}

// methods returns what was counted of each method, in order of the names.
func (s *statsReply) methods() []board.MethodStats {
	var list []board.MethodStats
	for i := range s.Endpoints {
		if m, ok := s.Endpoints[i].method(); ok {
			list = append(list, m)
		}
	}
	slices.SortStableFunc(list, func(a, b board.MethodStats) int { return strings.Compare(a.Method, b.Method) })
	return merged(list)
}

// method returns what was counted of a method; false for what no instance says.
func (e *endpointStats) method() (board.MethodStats, bool) {
	if !wire.ValidMethod(e.Name) || len(e.Name) > maxMethodName || e.Requests < 0 || e.Errors < 0 {
		return board.MethodStats{}, false
	}
	m := board.MethodStats{Method: e.Name, Counts: figures.Counts{Requests: uint64(e.Requests), Errors: uint64(min(e.Errors, e.Requests))}}
	m.Counts.InFlight, m.Counts.Spread, m.Codes = max(e.Data.InFlight, 0), e.Data.Spread, e.Data.Errors
	return m, true
}

// methodReport is the report of a method, a [health.Report], as far as it is read: to decode
// all of it would be half of the monitor's work.
type methodReport struct {
	InFlight int64                  `json:"in_flight"`
	Errors   map[health.Code]uint64 `json:"errors"`
	Spread   health.Spread          `json:"spread"`
}

// merged adds up what follows each other of the same method: a subscriber has several
// subscriptions to one. Of the reports the first one stays.
func merged(list []board.MethodStats) []board.MethodStats {
	var out []board.MethodStats
	for _, m := range list {
		n := len(out)
		if n == 0 || out[n-1].Method != m.Method {
			out = append(out, m)
			continue
		}
		sum := &out[n-1].Counts
		sum.Requests += m.Counts.Requests
		sum.Errors += m.Counts.Errors
		sum.InFlight += m.Counts.InFlight
		for step, count := range m.Counts.Spread {
			if sum.Spread == nil {
				sum.Spread = make(health.Spread)
			}
			sum.Spread[step] += count
		}
	}
	return out
}
