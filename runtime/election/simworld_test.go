package election

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// eventKind says what happens in the simulated world. Kinds up to lastOfClient
// happen inside a process and wait while it is paused.
type eventKind uint8

const (
	evTick eventKind = iota
	evConnection
	evEcho
	evProbed
	evAnswer
	evSilence
	evRead
	evWritten
	evWatch
	evLed
	evDrained
	evHandedOver
	evStand
	evCall   // somebody wants the process to act
	evNotice // the client notices that its connection is closed
	evConnect
	lastOfClient

	// At the NATS server, in the order in which a connection brought them.
	atSubscribe
	atSelf
	atProbe
	atAnswer
	atRead
	atWrite
	atWatch

	// In the store.
	stRead
	stPropose
	stApply

	// In the world.
	woRoute // a probe or an answer that crosses a route
	woCloseServerSide
	woFault
	woSync
	woRestart
	woKill
	woServerUp
	woHeal
	woRestore
	woStoreUp
)

// event is one step.
type event struct {
	at      time.Duration
	kind    eventKind
	node    *node
	conn    *conn
	number  uint64
	arrived time.Duration // at the client's socket
	other   *node
	load    *payload
}

// payload is what only operations of the store carry.
type payload struct {
	group    int
	write    Write
	entry    Entry
	revision uint64
	err      error
	bucket   *bucket
	lives    int // of the store when this was sent to it
	flag     bool
}

// world is the whole simulation of one seed.
type world struct {
	schedule
	weather
	judgement

	rng     *rand.Rand
	calls   *rand.Rand // when evCall comes; nil where all leaders are called all the time
	mix     *mix
	mutant  mutation
	servers []*server
	nodes   []*node // current process of each slot
	zombies []*node
	byID    map[string]*node
	actors  []*node // those that have had a lease
	bucket  *bucket
	past    []*bucket // copies, for roll-backs
	lives   int       // counts roll-backs
	names   int
	clients uint64
}

// schedule has the events of a world that are still to come.
type schedule struct {
	now   time.Duration
	seq   uint32
	queue []due
	slab  []event
	free  []int32
	steps int
}

// weather is what faults do to a world as a whole.
type weather struct {
	storeDown time.Duration // the store does not answer until then
	storeSlow time.Duration // writes are applied late until then
	isolated  int           // the server without routes, -1 for none
	calm      bool
	calmAt    time.Duration
}

// judgement is what is checked in a world, and what was found.
type judgement struct {
	acted  []Term          // per group, the greatest that acted
	began  []Term          // per group, the greatest that began
	served []time.Duration // per group, when a handler could last start
	lead   []*node         // per group, who acted last

	leaderGone time.Duration   // when the leader of the first group was killed
	failovers  []time.Duration // from there until another serves

	failure string
	tracing bool
	history []string
}

// quietWorlds is how many worlds there are for one in which leaders rest, as they are
// called now and then only.
const quietWorlds = 3

const wallStart = 1_800_000_000 * time.Second

func newWorld(m *mix, mutant mutation, seed uint64) *world {
	rng := rand.New(rand.NewPCG(seed, uint64(len(m.name))))
	m = m.varied(rng)
	var calls *rand.Rand
	if seed%quietWorlds == 0 {
		calls = rand.New(rand.NewPCG(seed, 0))
	}
	w := &world{
		rng: rng, calls: calls, mix: m, mutant: mutant, byID: map[string]*node{},
		schedule: schedule{now: time.Second},
		weather:  weather{isolated: -1},
		judgement: judgement{
			acted: make([]Term, m.groups), began: make([]Term, m.groups),
			served: make([]time.Duration, m.groups), lead: make([]*node, m.groups),
		},
	}
	for i := range m.servers {
		w.servers = append(w.servers, &server{index: i, id: fmt.Sprintf("S%d.0", i), up: true})
	}
	w.makeBucket()
	for slot := range m.nodes {
		w.nodes = append(w.nodes, nil)
		w.startNode(slot)
	}
	w.push(event{at: w.now + w.mix.faultEvery, kind: woFault})
	w.push(event{at: w.now + syncEvery, kind: woSync})
	return w
}

// run does the given number of steps under faults and then, if that is asked
// for, judges that somebody leads once they have stopped.
func (w *world) run(steps int) {
	for w.steps < steps && w.failure == "" {
		w.step()
	}
	if w.failure != "" {
		return
	}
	w.becomeCalm()
	for end := w.calmAt + w.mix.bound(); w.now < end && w.failure == ""; {
		w.step()
	}
	for g := range w.served {
		if w.failure == "" && w.served[g] < w.calmAt+w.mix.bound()-w.mix.lease {
			w.failf("group %d: nobody serves %v after the last fault, last at %v", g, w.mix.bound(), w.served[g])
		}
	}
}

func (w *world) step() {
	e := w.pop()
	w.now = e.at
	w.steps++
	if e.kind < lastOfClient && !w.runs(&e) {
		return
	}
	w.handle(&e)
	w.judge()
}

// runs tells whether the process can handle the event now, and puts it off while
// it is paused.
func (w *world) runs(e *event) bool {
	n := e.node
	if n.dead {
		return false
	}
	if n.pausedUntil > w.now {
		again := *e
		again.at = n.pausedUntil
		if e.kind == evTick {
			n.tickAt = again.at
		}
		w.push(again)
		return false
	}
	return true
}

// judge checks, at every step, that no term acts after a later one has acted:
// this is stronger than two acting at one moment. A process that does not run
// can neither start a handler nor send a reply.
func (w *world) judge() {
	for _, n := range w.actors {
		if n.dead || n.pausedUntil > w.now {
			continue
		}
		now := n.instant(w.now)
		for g := range n.led {
			lease := n.led[g]
			if lease == nil {
				continue
			}
			if w.calls == nil {
				lease.ask(now)
			}
			if !lease.holds(now) && (w.mutant != restActs || !lease.calm(now)) {
				continue
			}
			if lease.serving.Load() {
				w.served[g] = w.now
				if g == 0 && w.leaderGone > 0 {
					w.failovers = append(w.failovers, w.now-w.leaderGone)
					w.leaderGone = 0
				}
			}
			if lease.term < w.acted[g] && w.mix.judgeActing {
				w.failf("group %d: %s acts in term %d after term %d has acted", g, n.id, lease.term, w.acted[g])
			}
			w.acted[g] = max(w.acted[g], lease.term)
			w.lead[g] = n
		}
	}
}

func (w *world) failf(format string, args ...any) {
	if w.failure == "" {
		w.failure = fmt.Sprintf(format, args...)
		w.notef("VIOLATION: %s", w.failure)
	}
}

func (w *world) notef(format string, args ...any) {
	if w.tracing {
		w.history = append(w.history, fmt.Sprintf("%10.3f ms  ", float64(w.now)/1e6)+fmt.Sprintf(format, args...))
	}
}

func (w *world) story() string { return strings.Join(w.history, "\n") }

// due is an event's place in the heap. It holds no pointer, as the events
// themselves are in a slab.
type due struct {
	at   time.Duration
	seq  uint32
	slot int32
}

// push and pop are a binary heap, ordered by time and then by origin.
func (w *world) push(e event) {
	w.seq++
	var slot int32
	if n := len(w.free); n > 0 {
		slot = w.free[n-1]
		w.free = w.free[:n-1]
		w.slab[slot] = e
	} else {
		slot = int32(len(w.slab))
		w.slab = append(w.slab, e)
	}
	d := due{at: e.at, seq: w.seq, slot: slot}
	w.queue = append(w.queue, d)
	q := w.queue
	i := len(q) - 1
	for i > 0 {
		parent := (i - 1) / 2
		if !d.before(&q[parent]) {
			break
		}
		q[i] = q[parent]
		i = parent
	}
	q[i] = d
}

func (w *world) pop() event {
	q := w.queue
	top := q[0]
	last := q[len(q)-1]
	q = q[:len(q)-1]
	i := 0
	for {
		child := 2*i + 1
		if child >= len(q) {
			break
		}
		if child+1 < len(q) && q[child+1].before(&q[child]) {
			child++
		}
		if !q[child].before(&last) {
			break
		}
		q[i] = q[child]
		i = child
	}
	if len(q) > 0 {
		q[i] = last
	}
	w.queue = q
	w.free = append(w.free, top.slot)
	return w.slab[top.slot]
}

func (d *due) before(other *due) bool {
	return d.at < other.at || d.at == other.at && d.seq < other.seq
}

// chance is true with a probability of n in a thousand.
func (w *world) chance(n int) bool { return w.rng.IntN(1000) < n }

// between is uniform.
func (w *world) between(low, high time.Duration) time.Duration {
	if high <= low {
		return low
	}
	return low + time.Duration(w.rng.Int64N(int64(high-low)))
}

// spread is between low and high with small values as likely as large ones.
func (w *world) spread(low, high time.Duration) time.Duration {
	steps := 0
	for d := low; d < high; d *= 2 {
		steps++
	}
	d := low << w.rng.IntN(max(steps, 1))
	return min(w.between(d, 2*d), high)
}
