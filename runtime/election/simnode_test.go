package election

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// The queues of a client: messages of one subscription stay in order, those of
// two subscriptions do not, as each has a goroutine of its own.
const (
	queueLive  = iota // messages to oneself, answers, "no responders"
	queueWatch        // revisions
	queueReply        // acknowledgements and reads
	queues
)

// node is one process.
type node struct {
	clocks
	client

	world      *world
	id         string
	slot       int
	process    *Process
	candidates []*Candidate
	led        []*Lease
	watches    []watch

	tickAt      time.Duration
	dead        bool
	foreign     bool // it is of another account: its probes reach no process
	revoked     bool // it may not subscribe to its liveness subject
	pausedUntil time.Duration
}

// clocks are those of a node's machine.
type clocks struct {
	rate       int64 // of the monotonic clock, in parts per million
	monoBase   time.Duration
	trueBase   time.Duration
	wallOffset time.Duration
}

// client is a node's side of its connection.
type client struct {
	conn       *conn
	connected  bool
	connecting bool
	reconnects uint64
	generation uint64
	identity   ConnID
	pending    []event
	handled    [queues]time.Duration
	slow       [queues]time.Duration // extra delay
	slowUntil  [queues]time.Duration
	storeGone  time.Duration // its requests to the store vanish until then
}

// watch is a subscription to the revisions of one group.
type watch struct {
	created int64
	cursor  uint64 // the last revision that was handled
	sent    uint64 // the last that the server sent
	conn    *conn
}

func (w *world) startNode(slot int) {
	w.names++
	n := &node{world: w, id: fmt.Sprintf("p%d", w.names), slot: slot, watches: make([]watch, w.mix.groups)}
	n.led = make([]*Lease, w.mix.groups)
	n.rate = 1_000_000 + w.drift()
	n.monoBase = time.Hour + w.between(0, time.Hour)
	n.trueBase = w.now
	n.wallOffset = w.between(-w.mix.wallError, w.mix.wallError)
	n.foreign = w.mix.foreign && slot == 2
	process, err := NewProcess(n.id, fmt.Sprintf("i%d", slot), n)
	must(err)
	process.mutation = w.mutant
	n.process = process
	for g := range w.mix.groups {
		c, err := process.Add(w.mix.config(w, slot), store{n, g}, observer{n, g})
		must(err)
		n.candidates = append(n.candidates, c)
		w.push(event{at: w.now + w.between(0, 5*time.Millisecond), kind: evStand, node: n, number: uint64(g)})
	}
	w.nodes[slot], w.byID[n.id] = n, n
	if w.calls != nil {
		w.push(event{at: w.now, kind: evCall, node: n})
	}
	w.notef("%s starts as i%d, clock rate %+.1f %%", n.id, slot, float64(n.rate-1_000_000)/1e4)
	w.push(event{at: w.now + w.between(0, 2*time.Millisecond), kind: evConnect, node: n})
	n.connecting = true
}

// drift is at one of the limits in two of three cases.
func (w *world) drift() int64 {
	switch limit := w.mix.drift; w.rng.IntN(3) {
	case 0:
		return limit
	case 1:
		return -limit
	default:
		return w.rng.Int64N(2*limit+1) - limit
	}
}

func (n *node) instant(at time.Duration) Instant {
	return Instant{
		Mono: n.monoBase + time.Duration(int64(at-n.trueBase)*n.rate/1_000_000),
		Wall: wallStart + at + n.wallOffset,
	}
}

// arm sets the timer of the process.
func (n *node) arm() {
	w := n.world
	next := n.process.Next()
	if next >= forever {
		return
	}
	at := n.trueBase + time.Duration(int64(next-n.monoBase)*1_000_000/n.rate) + time.Duration(w.rng.Uint32()%100_000)
	at = max(at, w.now+10*time.Microsecond)
	if n.tickAt > w.now && n.tickAt <= at {
		return
	}
	n.tickAt = at
	w.push(event{at: at, kind: evTick, node: n})
}

// The link.

func (n *node) Identity() ConnID { return n.identity }

func (n *node) setIdentity() {
	if !n.connected {
		n.identity = ConnID{}
		return
	}
	n.identity = ConnID{
		ServerID: n.conn.serverID, ClientID: n.conn.client, Reconnects: n.reconnects, Generation: n.generation,
	}
}

func (n *node) SendSelf(number uint64) { n.send(event{kind: atSelf, number: number}) }

func (n *node) SendProbe(p Probe) {
	e := event{kind: atProbe, number: p.Number, other: n.world.byID[p.To]}
	if p.WantAnswer {
		e.load = wantAnswer
	}
	n.send(e)
}

func (n *node) Resubscribe() {
	n.generation++
	n.setIdentity()
	n.world.notef("%s subscribes anew, generation %d", n.id, n.generation)
	n.send(event{kind: atSubscribe, number: n.generation})
}

// wantAnswer marks a probe that asks for an answer.
var wantAnswer = &payload{flag: true}

// store is the machine's way to the simulated store.
type store struct {
	node  *node
	group int
}

func (s store) Read(number uint64) {
	s.node.send(event{kind: atRead, number: number, load: &payload{group: s.group}})
}

func (s store) Write(number uint64, write Write) {
	s.node.send(event{kind: atWrite, number: number, load: &payload{group: s.group, write: write}})
}

func (s store) Watch(created int64) {
	s.node.watches[s.group] = watch{created: created}
	s.node.send(event{kind: atWatch, load: &payload{group: s.group}})
}

// observer is the user's side: OnLeading takes a while and sometimes fails.
type observer struct {
	node  *node
	group int
}

func (o observer) Leading(lease *Lease) {
	n, w := o.node, o.node.world
	w.notef("%s begins term %d of group %d", n.id, lease.term, o.group)
	if lease.term <= w.began[o.group] {
		w.failf("group %d: term %d begins after term %d", o.group, lease.term, w.began[o.group])
	}
	w.began[o.group] = lease.term
	n.led[o.group] = lease
	if !contains(w.actors, n) {
		w.actors = append(w.actors, n)
	}
	load := &payload{group: o.group}
	if !w.calm && w.chance(w.mix.failLeading) {
		load.err = errors.New("cannot load")
	}
	at := w.now + w.between(0, 300*time.Microsecond)
	if w.chance(100) {
		at = w.now + w.spread(time.Millisecond, w.mix.lease/2)
	}
	w.push(event{at: at, kind: evLed, node: n, number: uint64(lease.term), load: load})
}

func (o observer) Serving(lease *Lease) {
	o.node.world.notef("%s serves in term %d of group %d", o.node.id, lease.term, o.group)
}

func (o observer) Suspended(lease *Lease) {
	o.node.world.notef("%s is suspended in term %d", o.node.id, lease.term)
}

func (o observer) Resumed(lease *Lease) {
	o.node.world.notef("%s resumes in term %d", o.node.id, lease.term)
}

func (o observer) Lost(lease *Lease, cause error) {
	o.node.world.notef("%s has lost term %d: %v", o.node.id, lease.term, cause)
}

func (o observer) Resigned() {
	n, w := o.node, o.node.world
	w.notef("%s has resigned from group %d", n.id, o.group)
	w.push(event{at: w.now + w.spread(time.Millisecond, w.mix.lease), kind: evStand, node: n, number: uint64(o.group)})
}

func (o observer) Problem(error) {}

// handleClient gives an event to the machine.
func (w *world) handleClient(e *event) {
	n := e.node
	switch e.kind {
	case evNotice:
		w.notice(n, e.conn)
		return
	case evConnect:
		w.connect(n)
		return
	case evTick:
		if n.tickAt != e.at {
			return
		}
		n.tickAt = 0
		n.process.Tick(n.instant(w.now))
		n.arm()
		return
	case evStand:
		if e.number == resubscribes {
			n.Resubscribe()
			return
		}
		n.candidates[e.number].Stand(n.instant(w.now))
	case evConnection:
		n.process.OnConnection(n.instant(w.now))
	case evLed:
		n.candidates[e.load.group].Led(n.instant(w.now), Term(e.number), e.load.err)
	case evCall:
		w.call(n)
	case evDrained:
		n.candidates[e.number].Drained(n.instant(w.now))
	case evHandedOver:
		n.candidates[e.load.group].HandedOver(n.instant(w.now), Term(e.number))
	default:
		if e.arrived > e.conn.clientClosed {
			return
		}
		w.deliver(e)
	}
	n.arm()
}

// call has a process act, or wait to act, for each of its leases. The next call comes
// soon, or only when the leader has rested.
func (w *world) call(n *node) {
	now := n.instant(w.now)
	for _, c := range n.candidates {
		if l := c.Lease(); l != nil && !l.MayAct(now) {
			n.process.Rouse(now)
		}
	}
	pause := time.Duration(w.calls.Int64N(int64(w.mix.window)))
	if w.calls.IntN(3) == 0 {
		pause = time.Duration(w.calls.Int64N(int64(3 * w.mix.lease)))
	}
	w.push(event{at: w.now + pause, kind: evCall, node: n})
}

// deliver hands over what came from the network.
func (w *world) deliver(e *event) {
	n := e.node
	now := n.instant(w.now)
	switch e.kind {
	case evEcho:
		n.process.OnEcho(now, e.number)
	case evProbed:
		want := e.load != nil
		probe := Probe{To: n.id, From: e.other.id, ServerID: e.other.identity.ServerID, Number: e.number, WantAnswer: want}
		if n.process.OnProbe(now, probe) {
			n.send(event{kind: atAnswer, number: e.number, other: e.other, load: &payload{entry: Entry{Record: Record{ServerID: n.identity.ServerID}}}})
		}
	case evAnswer:
		n.process.OnAnswer(now, e.other.id, e.load.entry.Record.ServerID, e.number)
	case evSilence:
		w.notef("%s gets no responders for its probe %d of %s", n.id, e.number, e.other.id)
		n.process.OnNoResponders(now, e.other.id, e.number)
	case evRead:
		if w.tracing {
			w.notef("%s reads %s", n.id, describe(e.load))
		}
		n.candidates[e.load.group].OnRead(now, e.number, e.load.entry, e.load.err)
	case evWritten:
		w.notef("%s gets acknowledgement of %d: revision %d, error %v", n.id, e.number, e.load.revision, e.load.err)
		n.candidates[e.load.group].OnWritten(now, e.number, e.load.revision, e.load.err)
	case evWatch:
		if w.tracing {
			w.notef("%s watches %s", n.id, describe(e.load))
		}
		n.watches[e.load.group].cursor = max(n.watches[e.load.group].cursor, e.load.entry.Revision)
		n.candidates[e.load.group].OnWatch(now, e.load.entry)
	}
}

func describe(p *payload) string {
	e := &p.entry
	switch {
	case e.Absent:
		return fmt.Sprintf("group %d: nothing at revision %d of bucket %d", p.group, e.Revision, e.Created%1e9)
	case e.Record.Released:
		return fmt.Sprintf("group %d: revision %d, released by %s, term %d", p.group, e.Revision, e.Record.Process, e.Record.Term)
	default:
		return fmt.Sprintf("group %d: revision %d of %s on %s, term %d", p.group, e.Revision, e.Record.Process, e.Record.ServerID, e.Record.Term)
	}
}

func contains(list []*node, n *node) bool {
	return slices.Contains(list, n)
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
