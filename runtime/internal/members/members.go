// Package members lets the instances of a group know of each other and share
// partitions, without a store: each says once a second that it is there. Views
// may differ for a moment, so nothing that must not happen twice may rest on
// them alone.
package members

import (
	"context"
	"encoding/json"
	"hash/fnv"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	interval = time.Second
	// lifetime is how long a silent member counts as one.
	lifetime = 3 * time.Second
	// introduction is how long a new member listens before it counts itself in.
	introduction = 200 * time.Millisecond
)

// note is what a member says.
type note struct {
	Member string `json:"member"`
	Gone   bool   `json:"gone,omitempty"`
	Hello  bool   `json:"hello,omitempty"` // asks all others to say that they are there
}

// Group is a member's view of its group.
type Group struct {
	nc      *nats.Conn
	subject string
	self    string
	changed func(members []string)
	sub     *nats.Subscription
	news    chan struct{}
	stop    chan struct{}
	ended   chan struct{}

	mu   sync.Mutex
	seen map[string]time.Time
}

// Join makes self a member. changed is called with the sorted names of all
// members when they have changed, by one goroutine.
func Join(nc *nats.Conn, subject, self string, changed func(members []string)) (*Group, error) {
	g := &Group{
		nc: nc, subject: subject, self: self, changed: changed,
		news: make(chan struct{}, 1), stop: make(chan struct{}), ended: make(chan struct{}),
		seen: make(map[string]time.Time),
	}
	var err error
	if g.sub, err = nc.Subscribe(subject, g.heard); err != nil {
		return nil, err
	}
	g.say(note{Member: self, Hello: true})
	go g.run()
	return g, nil
}

// Leave says that the member is gone. changed is not called any more when it
// returns, unless ctx ends while changed runs or NATS hangs.
func (g *Group) Leave(ctx context.Context) {
	close(g.stop)
	select {
	case <-g.ended:
	case <-ctx.Done():
	}
}

func (g *Group) leave() {
	_ = g.sub.Unsubscribe() // fails only if it is gone already
	g.say(note{Member: g.self, Gone: true})
}

func (g *Group) say(n note) {
	data, _ := json.Marshal(n)        //nolint:errchkjson // cannot fail
	_ = g.nc.Publish(g.subject, data) // the next one may get through
}

func (g *Group) heard(msg *nats.Msg) {
	var n note
	if json.Unmarshal(msg.Data, &n) != nil || n.Member == "" || n.Member == g.self {
		return
	}
	g.mu.Lock()
	_, known := g.seen[n.Member]
	if n.Gone {
		delete(g.seen, n.Member)
	} else {
		g.seen[n.Member] = time.Now()
	}
	g.mu.Unlock()
	if n.Hello {
		g.say(note{Member: g.self})
	}
	if known == n.Gone { // joined or left
		g.look()
	}
}

func (g *Group) look() {
	select {
	case g.news <- struct{}{}:
	default:
	}
}

func (g *Group) run() {
	defer close(g.ended)
	defer g.leave()
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	first := time.NewTimer(introduction)
	defer first.Stop()
	var last []string
	introduced := false
	for {
		select {
		case <-g.stop:
			return
		case <-first.C:
			introduced = true
		case <-ticker.C:
			g.say(note{Member: g.self})
		case <-g.news:
		}
		if members := g.members(time.Now()); introduced && !slices.Equal(members, last) {
			last = members
			g.changed(members)
		}
	}
}

func (g *Group) members(now time.Time) []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	maps.DeleteFunc(g.seen, func(_ string, at time.Time) bool { return now.Sub(at) > lifetime })
	return slices.Sorted(func(yield func(string) bool) {
		if !yield(g.self) {
			return
		}
		maps.Keys(g.seen)(yield)
	})
}

// Share returns the partitions of one of the members: each partition has one
// owner, nobody has more than one partition above another, and few of them move
// when a member comes or goes (rendezvous hashing with a bound).
func Share(members []string, self string, partitions int) []int {
	var own []int
	if len(members) == 0 {
		return nil
	}
	most := (partitions + len(members) - 1) / len(members)
	load := make(map[string]int, len(members))
	for p := range partitions {
		owner, best := "", uint64(0)
		for _, m := range members {
			if w := weight(m, p); load[m] < most && (owner == "" || w > best) {
				owner, best = m, w
			}
		}
		load[owner]++
		if owner == self {
			own = append(own, p)
		}
	}
	return own
}

func weight(member string, partition int) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(member))
	_, _ = h.Write([]byte{0})
	_, _ = h.Write([]byte(strconv.Itoa(partition)))
	// FNV mixes the last bytes little; this is the end of murmur3.
	x := h.Sum64()
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}
