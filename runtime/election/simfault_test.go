package election

import (
	"math/rand/v2"
	"time"
)

// fault is something that goes wrong.
type fault int

const (
	faultClose       fault = iota // the server closes a connection
	faultClientClose              // the client does, and the server keeps its side for a while
	faultStall
	faultCrash
	faultZombie // restarted under the same name while the old process lives on
	faultPause
	faultSuspend // the machine: the monotonic clock stands still
	faultSlowQueue
	faultStoreGone // one process cannot reach the store
	faultOutage
	faultSlowStore
	faultRollback
	faultServer
	faultPartition
	faultBucket
	faultKey
	faultRevoke // the liveness subscription is taken away, and allowed again later
	faultResign
	faultHandOver
	faultWall
	faultRestartAll
	faults
)

// mix is the world of a run: its size, durations, and what goes wrong how often.
type mix struct {
	size
	oddities
	slowness
	odds

	name                 string
	lease, window, probe time.Duration
	drift                int64 // of monotonic clocks, in parts per million
	wallError            time.Duration
	faultEvery           time.Duration
	faults               [faults]int // the weight of each
	judgeActing          bool        // off with roll-backs
}

// size is how many servers, processes and groups a world has.
type size struct{ servers, nodes, groups int }

// oddities are what some processes of a world have of their own.
type oddities struct {
	noEarly      bool
	vary         bool // each seed has its own durations and number of processes
	halfLeases   bool // the last process is configured to half the durations
	foreign      bool // the third process is of another account
	ill          bool // the first process may not subscribe, also when all is calm
	awaitRelease bool
}

// slowness describes the queues that faults make slow.
type slowness struct {
	slowFrom, slowTo time.Duration // default: 1 ms to two windows
	slowQueue        int           // only this one, counted from 1
}

// odds are how often messages and handlers fail, in a thousand.
type odds struct {
	late, doubled, staleReads, lostReplies, buffered, failLeading int
}

func (m *mix) config(_ *world, slot int) Config {
	c := Config{
		Lease: m.lease, Window: m.window, Probe: m.probe,
		DisableEarlyTakeover: m.noEarly, AwaitUnseenRelease: m.awaitRelease,
	}
	if m.halfLeases && slot == m.nodes-1 {
		c.Lease, c.Window = c.Lease/2, c.Window/2
		c.Probe = min(c.Probe, c.Window/2)
	}
	return c
}

// varied is the mix of one seed.
func (m *mix) varied(rng *rand.Rand) *mix {
	if !m.vary {
		return m
	}
	v := *m
	v.lease = []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second}[rng.IntN(3)]
	v.window = []time.Duration{v.lease / 4, v.lease / 10, 50 * time.Millisecond, 20 * time.Millisecond}[rng.IntN(4)]
	v.probe = []time.Duration{v.window / 2, v.window / 3, max(MinProbe, v.window/8)}[rng.IntN(3)]
	v.nodes = 2 + rng.IntN(4)
	v.groups = 1 + rng.IntN(3)
	v.servers = 1 + 2*rng.IntN(2)
	if v.servers > 1 {
		v.faults[faultPartition] = 8
	}
	v.drift = []int64{0, 10_000, 50_000}[rng.IntN(3)]
	v.faultEvery = v.lease * time.Duration(1+rng.IntN(8)) / 8
	v.late, v.doubled, v.staleReads = rng.IntN(30), rng.IntN(30), rng.IntN(30)
	v.lostReplies, v.buffered = rng.IntN(30), rng.IntN(30)
	for f := range v.faults {
		if rng.IntN(3) == 0 {
			v.faults[f] = 0
		}
	}
	return &v
}

// bound is how long after the last fault somebody must serve.
func (m *mix) bound() time.Duration { return 8*widen(m.lease) + 4*resubscribeAfter }

func (w *world) handle(e *event) {
	switch {
	case e.kind < lastOfClient:
		w.handleClient(e)
	case e.kind <= atWatch:
		w.handleServer(e)
	default:
		w.handleWorld(e)
	}
}

func (w *world) handleWorld(e *event) {
	switch e.kind {
	case stRead:
		w.readKey(e)
	case stPropose:
		w.propose(e)
	case stApply:
		w.apply(e)
	case woRoute:
		w.arriveByRoute(e)
	case woCloseServerSide:
		w.closeAtServer(e.conn)
	case woSync:
		w.syncAll()
	case woRestart:
		if w.nodes[e.number].dead {
			w.startNode(int(e.number))
		}
	case woKill:
		w.kill(e.node)
	case woServerUp:
		w.serverUp(w.servers[e.number])
	case woHeal:
		w.isolated = -1
		w.notef("routes are back")
	case woRestore:
		e.node.revoked = false
		w.notef("%s may subscribe again", e.node.id)
	case woFault:
		if !w.calm {
			w.someFault()
			w.push(event{at: w.now + w.between(0, 2*w.mix.faultEvery), kind: woFault})
		}
	}
}

// someNode is the one that acts in most cases.
func (w *world) someNode() *node {
	if n := w.lead[w.rng.IntN(len(w.lead))]; n != nil && !n.dead && w.chance(650) {
		return n
	}
	return w.nodes[w.rng.IntN(len(w.nodes))]
}

func (w *world) someFault() {
	total := 0
	for _, weight := range w.mix.faults {
		total += weight
	}
	if total == 0 {
		return
	}
	pick := w.rng.IntN(total)
	for f, weight := range w.mix.faults {
		if pick < weight {
			w.inject(fault(f))
			return
		}
		pick -= weight
	}
}

func (w *world) inject(f fault) {
	n := w.someNode()
	if n.dead {
		return
	}
	lease := w.mix.lease
	switch f {
	case faultClose:
		if n.connected {
			w.closeAtServer(n.conn)
		}
	case faultClientClose:
		if c := n.conn; n.connected {
			w.notice(n, c)
			w.push(event{at: w.now + w.spread(time.Millisecond, 2*lease), kind: woCloseServerSide, conn: c})
		}
	case faultStall:
		if n.connected {
			w.stall(n.conn, w.spread(5*time.Millisecond, 2*lease))
		}
	case faultCrash:
		w.kill(n)
		w.push(event{at: w.now + w.spread(time.Millisecond, 2*lease), kind: woRestart, number: uint64(n.slot)})
	case faultZombie:
		w.makeZombie(n)
	case faultPause, faultSuspend:
		w.pause(n, w.spread(5*time.Millisecond, 3*lease), f == faultSuspend)
	case faultSlowQueue:
		w.slowQueue(n)
	case faultStoreGone:
		n.storeGone = w.now + w.spread(w.mix.window, 3*lease)
		w.notef("%s does not reach the store for %v", n.id, n.storeGone-w.now)
	default:
		w.injectShared(f, n)
	}
}

// injectShared is for faults of what processes share, and of what they may do.
func (w *world) injectShared(f fault, n *node) {
	lease := w.mix.lease
	switch f {
	case faultOutage:
		w.outage(w.spread(5*time.Millisecond, 2*lease))
	case faultRollback:
		w.rollBack(w.spread(2*w.mix.wallError+5*time.Millisecond, 2*lease))
	case faultSlowStore:
		w.storeSlow = w.now + w.spread(w.mix.window, 2*lease)
	case faultServer:
		w.restartServer(w.servers[w.rng.IntN(len(w.servers))], w.spread(time.Millisecond, lease))
	case faultPartition:
		if w.isolated < 0 {
			w.isolated = w.rng.IntN(len(w.servers))
			w.notef("%s loses its routes", w.servers[w.isolated].id)
			w.push(event{at: w.now + w.spread(5*time.Millisecond, 3*lease), kind: woHeal})
		}
	case faultBucket:
		w.deleteBucket()
	case faultKey:
		w.deleteKey(w.rng.IntN(w.mix.groups), w.chance(500))
	case faultRevoke:
		w.revoke(n, w.spread(time.Millisecond, 2*lease))
	case faultResign:
		w.resign(n, w.rng.IntN(w.mix.groups))
	case faultHandOver:
		w.handOver(n, w.rng.IntN(w.mix.groups))
	case faultWall:
		n.wallOffset += w.between(-w.mix.wallError, w.mix.wallError)
		n.wallOffset = max(-w.mix.wallError, min(w.mix.wallError, n.wallOffset))
	case faultRestartAll:
		for _, n := range w.nodes {
			if !n.dead {
				w.kill(n)
				w.push(event{at: w.now + w.spread(time.Millisecond, lease), kind: woRestart, number: uint64(n.slot)})
			}
		}
	}
}

func (w *world) kill(n *node) {
	if n.dead {
		return
	}
	if l, now := n.led[0], n.instant(w.now); l != nil && l.serving.Load() && l.calm(now) {
		w.leaderGone = w.now
	}
	n.dead = true
	w.notef("%s is killed", n.id)
	w.actors = remove(w.actors, n)
	w.zombies = remove(w.zombies, n)
	if n.conn != nil {
		at := w.now + w.between(0, time.Millisecond)
		if w.chance(100) {
			at = w.now + w.spread(time.Millisecond, w.mix.lease)
		}
		w.push(event{at: at, kind: woCloseServerSide, conn: n.conn})
	}
}

// makeZombie starts another process under the name while the old one lives on.
func (w *world) makeZombie(n *node) {
	if n != w.nodes[n.slot] || len(w.zombies) > 2 {
		return
	}
	w.notef("%s becomes a zombie", n.id)
	w.zombies = append(w.zombies, n)
	w.startNode(n.slot)
	w.push(event{at: w.now + w.spread(w.mix.window, 4*w.mix.lease), kind: woKill, node: n})
}

// pause stops a process. When its machine is suspended, its monotonic clock does
// not count the time.
func (w *world) pause(n *node, d time.Duration, suspend bool) {
	if n.pausedUntil > w.now {
		return
	}
	if suspend {
		d += w.mix.window
		n.monoBase = n.instant(w.now).Mono
		n.trueBase = w.now + d
	}
	n.pausedUntil = w.now + d
	w.notef("%s stops for %v, machine suspended: %v", n.id, d, suspend)
}

func (w *world) slowQueue(n *node) {
	q := w.rng.IntN(queues)
	if w.mix.slowQueue > 0 {
		q = w.mix.slowQueue - 1
	}
	n.slow[q] = w.spread(time.Millisecond, 2*w.mix.window)
	if w.mix.slowTo > 0 {
		n.slow[q] = w.between(w.mix.slowFrom, w.mix.slowTo)
	}
	n.slowUntil[q] = w.now + w.spread(w.mix.window, 2*w.mix.lease)
	w.notef("queue %d of %s is slow by %v for %v", q, n.id, n.slow[q], n.slowUntil[q]-w.now)
}

// revoke takes the liveness subscription away, without a word to the client.
func (w *world) revoke(n *node, d time.Duration) {
	n.revoked = true
	if n.conn != nil {
		n.conn.live = false
	}
	w.notef("%s may not subscribe for %v", n.id, d)
	w.push(event{at: w.now + d, kind: woRestore, node: n})
	if w.chance(500) {
		// A library that does notice subscribes again by itself.
		w.push(event{at: w.now + d + w.between(0, time.Millisecond), kind: evStand, node: n, number: resubscribes})
	}
}

// resubscribes marks an evStand that renews the subscription in place.
const resubscribes = ^uint64(0)

func (w *world) resign(n *node, group int) {
	if n.pausedUntil > w.now {
		return
	}
	w.notef("%s is asked to resign from group %d", n.id, group)
	n.candidates[group].Resign(n.instant(w.now))
	w.push(event{at: w.now + w.spread(100*time.Microsecond, w.mix.window), kind: evDrained, node: n, number: uint64(group)})
	n.arm()
}

// handOver has whoever leads the group hand over, and some of the others held back, as
// messages tell them, which may be lost.
func (w *world) handOver(heir *node, group int) {
	for _, n := range w.nodes {
		lease := n.candidates[group].Lease()
		if n.dead || n.pausedUntil > w.now || lease == nil {
			continue
		}
		if n.candidates[group].HandOver(n.instant(w.now), lease.Term()) {
			w.notef("%s is asked to hand over group %d to %s", n.id, group, heir.id)
			w.push(event{at: w.now + w.spread(100*time.Microsecond, w.mix.lease), kind: evHandedOver, node: n, number: uint64(lease.Term()), load: &payload{group: group}})
			w.holdBack(heir, group, lease.Term())
		}
		n.arm()
	}
}

// holdBack tells most candidates but the heir that the leader of a term hands over.
func (w *world) holdBack(heir *node, group int, term Term) {
	for _, n := range w.nodes {
		if n != heir && !n.dead && n.pausedUntil <= w.now && !w.chance(200) {
			n.candidates[group].HoldBack(n.instant(w.now), term)
			n.arm()
		}
	}
}

// becomeCalm ends all faults; the clock of the bound starts when the last pause
// is over.
func (w *world) becomeCalm() {
	w.calm = true
	w.calmAt = w.now + 6*w.mix.lease
	w.isolated = -1
	w.storeSlow = 0
	quiet := *w.mix
	quiet.late, quiet.doubled, quiet.staleReads, quiet.lostReplies, quiet.buffered = 0, 0, 0, 0, 0
	w.mix = &quiet
	for _, n := range w.nodes {
		n.storeGone, n.slowUntil, n.revoked = 0, [queues]time.Duration{}, false
	}
	if w.mix.ill {
		w.nodes[0].revoked = true
		if c := w.nodes[0].conn; c != nil {
			c.live = false
		}
	}
	w.notef("no more faults")
}
