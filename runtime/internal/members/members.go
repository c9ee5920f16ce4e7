// Package members lets the instances of a group know of each other and share partitions
// without a store: each instance says once a second that it is there. The instances may
// disagree for a moment on who is a member, so whatever must not happen twice needs more
// than this package.
package members

import (
	"context"
	"hash/fnv"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/wire"
)

const (
	interval = time.Second
	// lifetime is how long a silent instance counts as a member.
	lifetime = 3 * time.Second
	// introduction is how long a new member listens to the others before it reports the
	// members for the first time.
	introduction = 200 * time.Millisecond
)

// Group is the view that one member has of its group.
type Group struct {
	nc      *nats.Conn
	subject string
	self    string
	changed func(members []string)
	sub     *nats.Subscription
	news    chan struct{} // holds one; told that a member has come or gone
	stop    chan struct{} // closed by Leave
	stopped chan struct{} // closed by run when it returns

	mu   sync.Mutex           // guards seen
	seen map[string]time.Time // when each of the others was heard last
}

// Join makes self a member of the group on a subject. When the members have changed, one
// goroutine calls changed with the sorted names of all of them.
func Join(nc *nats.Conn, subject, self string, changed func(members []string)) (*Group, error) {
	g := &Group{
		nc: nc, subject: subject, self: self, changed: changed,
		news: make(chan struct{}, 1), stop: make(chan struct{}), stopped: make(chan struct{}),
		seen: make(map[string]time.Time),
	}
	var err error
	if g.sub, err = nc.Subscribe(subject, g.heard); err != nil {
		return nil, err
	}
	g.say(wire.Member{Name: self, Hello: true})
	go g.run()
	return g, nil
}

// Leave ends the membership, and tells the others. When it has returned, changed is not
// called any more, unless ctx has ended while changed ran or NATS hung. It is called once.
func (g *Group) Leave(ctx context.Context) {
	close(g.stop)
	select {
	case <-g.stopped:
	case <-ctx.Done():
	}
}

// sayGone tells the others that the member is gone.
func (g *Group) sayGone() {
	_ = g.sub.Unsubscribe() // fails only if it is gone already
	g.say(wire.Member{Name: g.self, Gone: true})
}

func (g *Group) say(m wire.Member) {
	_ = g.nc.Publish(g.subject, m.Encode()) // the next one may get through
}

func (g *Group) heard(msg *nats.Msg) {
	m, ok := wire.DecodeMember(msg.Data)
	if !ok || m.Name == g.self {
		return
	}
	g.mu.Lock()
	_, known := g.seen[m.Name]
	if m.Gone {
		delete(g.seen, m.Name)
	} else {
		g.seen[m.Name] = time.Now()
	}
	g.mu.Unlock()
	if m.Hello {
		g.say(wire.Member{Name: g.self})
	}
	if known == m.Gone { // the member has joined or left
		g.wake()
	}
}

func (g *Group) wake() {
	select {
	case g.news <- struct{}{}:
	default:
	}
}

func (g *Group) run() {
	defer close(g.stopped)
	defer g.sayGone()
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
			g.say(wire.Member{Name: g.self})
		case <-g.news:
		}
		if members := g.members(time.Now()); introduced && !slices.Equal(members, last) {
			last = members
			g.changed(members)
		}
	}
}

// members returns the sorted names of the members, and drops those that were silent for
// too long.
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

// Share returns the partitions that one of the members owns. Each partition has one
// owner, no member owns more than its share rounded up, and few partitions move when a
// member comes or goes (rendezvous hashing with a bound).
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

// weight returns a number by which the members bid for a partition; the highest wins.
func weight(member string, partition int) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(member))
	_, _ = h.Write([]byte{0})
	_, _ = h.Write([]byte(strconv.Itoa(partition)))
	// FNV mixes the last bytes little, so that the last step of murmur3 follows.
	x := h.Sum64()
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}
