package election

import (
	"fmt"
	"time"
)

// server is a NATS server.
type server struct {
	index    int
	id       string
	restarts int
	up       bool
	conns    []*conn
}

// conn is a connection of a client. The server's side and the client's side
// close at different times.
type conn struct {
	node     *node
	server   *server
	serverID string
	client   uint64
	open     bool // at the server
	live     bool // has the liveness subscription
	liveAt   time.Duration

	toServer, toClient       time.Duration // arrival of the last message
	stallServer, stallClient time.Duration // nothing arrives before
	clientClosed             time.Duration
}

// routeDelay is how long a remote server takes to learn of a subscription.
const routeDelay = 2 * time.Millisecond

func (w *world) latency() time.Duration {
	r := w.rng.Uint32()
	if r%256 == 0 {
		return w.spread(time.Millisecond, 40*time.Millisecond)
	}
	return 50*time.Microsecond + time.Duration(r%150_000)
}

// send puts a message of the client on its way. What is written while the client
// has no connection, or to a dead one, may wait in its buffer for the next.
func (n *node) send(e event) {
	w := n.world
	e.node = n
	switch {
	case !n.connected:
		if w.chance(500) {
			n.pending = append(n.pending, e)
		}
		return
	case !n.conn.open && w.chance(500), w.chance(w.mix.buffered):
		n.pending = append(n.pending, e)
		return
	}
	w.toServer(n.conn, e)
}

func (w *world) toServer(c *conn, e event) {
	e.conn = c
	e.at = max(c.toServer, w.now+w.latency(), c.stallServer)
	c.toServer = e.at
	w.push(e)
}

// toClient sends through a connection, in order, and then through one of the
// client's queues, in order.
func (w *world) toClient(c *conn, queue int, e event) {
	if c == nil || !c.open {
		return
	}
	n := c.node
	e.node, e.conn = n, c
	e.arrived = max(c.toClient, w.now+w.latency(), c.stallClient)
	c.toClient = e.arrived
	e.at = e.arrived
	if n.slowUntil[queue] > w.now {
		e.at += n.slow[queue]
	} else if w.rng.Uint32()%1024 == 0 {
		e.at += w.spread(100*time.Microsecond, 20*time.Millisecond)
	}
	e.at = max(e.at, n.handled[queue])
	n.handled[queue] = e.at
	w.push(e)
}

// current is the server's side of the connection that replies to a process go
// to, nil if there is none.
func (n *node) current() *conn {
	if n.conn != nil && n.conn.open {
		return n.conn
	}
	return nil
}

func (w *world) connect(n *node) {
	n.connecting = false
	if n.connected {
		return
	}
	s := w.servers[w.rng.IntN(len(w.servers))]
	if !s.up {
		n.reconnectLater(w.between(10*time.Millisecond, 60*time.Millisecond))
		return
	}
	w.clients++
	c := &conn{node: n, server: s, serverID: s.id, client: w.clients, open: true, clientClosed: forever}
	s.conns = append(s.conns, c)
	n.conn, n.connected = c, true
	n.reconnects++
	n.setIdentity()
	w.notef("%s connects to %s", n.id, s.id)
	n.rejoin(c)
	w.push(event{at: w.now + w.between(0, 500*time.Microsecond), kind: evConnection, node: n})
}

// rejoin sends the subscriptions and then what has waited.
func (n *node) rejoin(c *conn) {
	w := n.world
	w.toServer(c, event{kind: atSubscribe, node: n, number: n.generation})
	for g := range n.watches {
		if n.watches[g].created != 0 || w.mutant == keyWithoutCreation {
			w.toServer(c, event{kind: atWatch, node: n, load: &payload{group: g}})
		}
	}
	for _, e := range n.pending {
		w.toServer(c, e)
	}
	n.pending = n.pending[:0]
}

func (n *node) reconnectLater(after time.Duration) {
	if n.connecting || n.dead {
		return
	}
	n.connecting = true
	n.world.push(event{at: n.world.now + after, kind: evConnect, node: n})
}

// closeAtServer drops the connection's subscriptions at once. The client notices
// later.
func (w *world) closeAtServer(c *conn) {
	if !c.open {
		return
	}
	c.open, c.live = false, false
	for i, other := range c.server.conns {
		if other == c {
			c.server.conns = append(c.server.conns[:i], c.server.conns[i+1:]...)
			break
		}
	}
	notice := w.between(50*time.Microsecond, 2*time.Millisecond)
	if w.chance(300) {
		notice = w.spread(2*time.Millisecond, w.mix.lease)
	}
	w.notef("%s closes the connection of %s", c.serverID, c.node.id)
	w.push(event{at: w.now + notice, kind: evNotice, node: c.node, conn: c})
}

// notice is the client's side of a close.
func (w *world) notice(n *node, c *conn) {
	if n.conn != c || !n.connected {
		return
	}
	n.connected = false
	c.clientClosed = w.now
	n.setIdentity()
	w.notef("%s notices that its connection is closed", n.id)
	wait := w.between(100*time.Microsecond, 10*time.Millisecond)
	if w.chance(400) {
		wait = w.spread(10*time.Millisecond, 2*w.mix.window)
	}
	n.reconnectLater(wait)
	w.push(event{at: w.now + w.between(0, time.Millisecond), kind: evConnection, node: n})
}

// handleServer is what a NATS server does with a message. What it still reads
// from a connection that it has closed goes nowhere, but a request to the store
// may have been passed on before.
func (w *world) handleServer(e *event) {
	c := e.conn
	if !c.open && (e.kind != atRead && e.kind != atWrite || w.chance(600)) {
		return
	}
	switch e.kind {
	case atSubscribe:
		if !e.node.revoked && e.number == e.node.generation {
			c.live, c.liveAt = true, w.now
		}
	case atSelf:
		if c.live {
			w.toClient(c, queueLive, event{kind: evEcho, number: e.number})
		}
	case atProbe:
		w.routeProbe(e)
	case atAnswer:
		w.routeAnswer(e)
	case atRead, atWrite:
		w.routeRequest(e)
	case atWatch:
		e.node.watches[e.load.group].conn = c
		e.node.watches[e.load.group].sent = e.node.watches[e.load.group].cursor
		w.syncWatch(e.node, e.load.group)
	}
}

func (w *world) routed(a, b *server) bool {
	return a == b || a.up && b.up && a.index != w.isolated && b.index != w.isolated
}

// routeProbe delivers a probe, or tells that nobody is subscribed as far as the
// prober's server knows.
func (w *world) routeProbe(e *event) {
	to := e.other.current()
	near := e.conn.server
	interest := to != nil && to.live && !e.node.foreign && !e.other.foreign &&
		(to.server == near || w.routed(to.server, near) && w.now >= to.liveAt+routeDelay)
	switch {
	case !interest:
		w.toClient(e.conn, queueLive, event{kind: evSilence, number: e.number, other: e.other})
	case to.server == near:
		w.toClient(to, queueLive, event{kind: evProbed, number: e.number, other: e.node, load: e.load})
	default:
		w.push(event{at: w.now + w.latency(), kind: woRoute, conn: to, number: e.number, other: e.node, load: e.load})
	}
}

func (w *world) routeAnswer(e *event) {
	to := e.other.current()
	if to == nil || !to.live {
		return
	}
	w.toClient(to, queueLive, event{kind: evAnswer, number: e.number, other: e.node, load: e.load})
}

// arriveByRoute delivers if the subscription is still there. A message that was
// passed on gets no "no responders".
func (w *world) arriveByRoute(e *event) {
	if e.conn.live {
		w.toClient(e.conn, queueLive, event{kind: evProbed, number: e.number, other: e.other, load: e.load})
	}
}

// The faults of connections and servers.

func (w *world) restartServer(s *server, down time.Duration) {
	if !s.up {
		return
	}
	s.up = false
	w.notef("NATS server %s stops for %v", s.id, down)
	for len(s.conns) > 0 {
		w.closeAtServer(s.conns[0])
	}
	if len(w.servers) == 1 {
		w.outage(down + w.spread(time.Millisecond, 50*time.Millisecond))
	}
	w.push(event{at: w.now + down, kind: woServerUp, number: uint64(s.index)})
}

func (w *world) serverUp(s *server) {
	s.up = true
	s.restarts++
	s.id = fmt.Sprintf("S%d.%d", s.index, s.restarts)
	w.notef("NATS server %s starts", s.id)
}

// stall holds back what is on the way, in one direction or both, and then goes on
// or closes.
func (w *world) stall(c *conn, d time.Duration) {
	which := w.rng.IntN(3)
	w.notef("connection of %s stalls for %v, direction %d", c.node.id, d, which)
	if which != 0 {
		c.stallServer = w.now + d
	}
	if which != 1 {
		c.stallClient = w.now + d
	}
	if w.chance(500) {
		w.push(event{at: w.now + d/2 + w.between(0, d), kind: woCloseServerSide, conn: c})
	}
}
