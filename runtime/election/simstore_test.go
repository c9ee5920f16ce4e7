package election

import (
	"time"
)

const syncEvery = 50 * time.Millisecond

// bucket is one life of the KV bucket, with the revisions of its stream.
type bucket struct {
	created int64
	last    uint64
	keys    map[keyName]*key
}

type keyName struct {
	group   int
	created int64
}

// key keeps its state, the one before it for reads that are answered late, and
// the writes that are proposed and not yet applied.
type key struct {
	entry    Entry
	before   Entry
	inFlight int
}

func (w *world) makeBucket() {
	b := &bucket{created: int64(wallStart + w.now), keys: map[keyName]*key{}}
	w.bucket = b
	w.notef("bucket created")
}

func (b *bucket) key(group int, created int64) *key {
	name := keyName{group, created}
	k := b.keys[name]
	if k == nil {
		absent := Entry{Created: b.created, Absent: true}
		k = &key{entry: absent, before: absent}
		b.keys[name] = k
	}
	return k
}

// copyOf is a state to roll back to.
func copyOf(b *bucket) *bucket {
	c := &bucket{created: b.created, last: b.last, keys: map[keyName]*key{}}
	for name, k := range b.keys {
		copied := *k
		copied.inFlight = 0
		c.keys[name] = &copied
	}
	return c
}

// keyOf is the key that a process uses for a bucket of this creation time.
func (w *world) keyOf(created int64) int64 {
	if w.mutant == keyWithoutCreation {
		return 0
	}
	return created
}

// available tells whether a server reaches a majority.
func (w *world) available(s *server) bool {
	reached := 0
	for _, other := range w.servers {
		if other.up && w.routed(s, other) {
			reached++
		}
	}
	return s.up && 2*reached > len(w.servers)
}

// routeRequest passes a request on to the store. It may be lost, late or
// doubled on its way there.
func (w *world) routeRequest(e *event) {
	n := e.node
	if n.storeGone > w.now || !w.available(e.conn.server) {
		if !w.chance(w.mix.late) {
			return
		}
		e.at = w.now + w.spread(time.Millisecond, 2*w.mix.lease)
	} else {
		e.at = w.now + w.latency()
	}
	if w.chance(w.mix.late) {
		e.at = w.now + w.spread(time.Millisecond, 2*w.mix.lease)
	}
	out := *e
	out.load.lives = w.lives
	out.kind = stRead
	if e.kind == atWrite {
		out.kind = stPropose
		if w.chance(w.mix.doubled) {
			again := out
			again.at += w.spread(time.Millisecond, 2*w.mix.lease)
			w.push(again)
		}
	}
	w.push(out)
}

// putOff makes a request wait for the end of an outage, or loses it.
func (w *world) putOff(e *event) bool {
	if e.load.lives != w.lives {
		return true // lost with the servers that had it
	}
	if w.storeDown <= w.now {
		return false
	}
	if w.chance(500) {
		again := *e
		again.at = w.storeDown + w.latency()
		w.push(again)
	} else if e.kind == stApply && e.load.bucket == w.bucket {
		e.load.bucket.key(e.load.group, e.load.write.Created).inFlight--
	}
	return true
}

// readKey answers from the stream's leader; with stale reads on, sometimes with
// the state before.
func (w *world) readKey(e *event) {
	if w.putOff(e) {
		return
	}
	if w.bucket == nil {
		w.makeBucket()
	}
	k := w.bucket.key(e.load.group, w.keyOf(w.bucket.created))
	entry := k.entry
	if w.chance(w.mix.staleReads) {
		entry = k.before
	}
	w.reply(e, evRead, &payload{group: e.load.group, entry: entry})
}

// propose checks a write against the store and against what is in flight.
func (w *world) propose(e *event) {
	if w.putOff(e) {
		return
	}
	if w.bucket == nil {
		return
	}
	wr := &e.load.write
	k := w.bucket.key(e.load.group, wr.Created)
	if !wr.deletes && (k.inFlight > 0 || k.entry.Revision != wr.Over) {
		w.reply(e, evWritten, &payload{group: e.load.group, err: ErrRefused})
		return
	}
	k.inFlight++
	again := *e
	again.kind = stApply
	again.load = &payload{group: e.load.group, write: *wr, bucket: w.bucket, lives: w.lives}
	again.at = w.now + w.latency()
	if w.storeSlow > w.now {
		again.at = w.now + w.spread(time.Millisecond, w.mix.lease)
	}
	w.push(again)
}

// apply checks it again and stores it.
func (w *world) apply(e *event) {
	if e.load.bucket != w.bucket {
		return // the bucket is gone, and what was proposed to it
	}
	if w.putOff(e) {
		return
	}
	wr := &e.load.write
	k := w.bucket.key(e.load.group, wr.Created)
	k.inFlight--
	if !wr.deletes && k.entry.Revision != wr.Over {
		w.reply(e, evWritten, &payload{group: e.load.group, err: ErrRefused})
		return
	}
	w.bucket.last++
	entry := Entry{Created: w.bucket.created, Revision: w.bucket.last, Record: wr.Record}
	if wr.deletes {
		entry.Record, entry.Absent = Record{}, true
	}
	w.put(e.load.group, wr.Created, entry)
	w.reply(e, evWritten, &payload{group: e.load.group, revision: entry.Revision})
}

// put stores an entry and shows it to those who watch.
func (w *world) put(group int, created int64, entry Entry) {
	k := w.bucket.key(group, created)
	k.before, k.entry = k.entry, entry
	if w.tracing {
		w.notef("stored in group %d: %s", group, describe(&payload{group: group, entry: entry}))
	}
	if w.mix.faults[faultRollback] > 0 {
		w.past = append(w.past, copyOf(w.bucket))
		if len(w.past) > 32 {
			w.past = w.past[1:]
		}
	}
	for _, n := range w.nodes {
		w.syncWatch(n, group)
	}
	for _, n := range w.zombies {
		w.syncWatch(n, group)
	}
}

// reply goes to the connection that the process has now, which need not be the
// one that the request came from.
func (w *world) reply(e *event, kind eventKind, load *payload) {
	c := e.node.current()
	if c == nil || !w.available(c.server) || w.chance(w.mix.lostReplies) {
		return
	}
	w.toClient(c, queueReply, event{kind: kind, number: e.number, load: load})
}

// syncWatch sends a revision that is after the last one sent. A store that was
// rolled back has nothing to send until it has passed that revision.
func (w *world) syncWatch(n *node, group int) {
	watch := &n.watches[group]
	if w.bucket == nil || watch.conn == nil || !watch.conn.open || n.dead || w.storeDown > w.now ||
		!w.available(watch.conn.server) || watch.created != w.bucket.created {
		return
	}
	k := w.bucket.key(group, w.keyOf(watch.created))
	if k.entry.Revision <= watch.sent {
		return
	}
	watch.sent = k.entry.Revision
	w.toClient(watch.conn, queueWatch, event{kind: evWatch, load: &payload{group: group, entry: k.entry}})
}

func (w *world) syncAll() {
	for g := range w.mix.groups {
		for _, n := range w.nodes {
			w.syncWatch(n, g)
		}
		for _, n := range w.zombies {
			w.syncWatch(n, g)
		}
	}
	w.push(event{at: w.now + syncEvery, kind: woSync})
}

// The faults of the store.

func (w *world) outage(d time.Duration) {
	w.storeDown = max(w.storeDown, w.now+d)
	w.notef("store is down for %v", d)
}

// rollBack is a power failure of all servers: the store comes back as it was
// before some writes that it had acknowledged.
func (w *world) rollBack(d time.Duration) {
	for _, s := range w.servers {
		w.restartServer(s, d)
	}
	if len(w.past) > 0 {
		w.lives++
		w.bucket = copyOf(w.past[w.rng.IntN(len(w.past))])
		w.past = w.past[:0]
		w.notef("store is rolled back to revision %d", w.bucket.last)
	}
}

func (w *world) deleteBucket() {
	w.bucket = nil
	w.past = nil
	w.notef("bucket deleted")
}

func (w *world) deleteKey(group int, purge bool) {
	if w.bucket == nil {
		return
	}
	created := w.keyOf(w.bucket.created)
	if purge {
		w.bucket.key(group, created).entry = Entry{Created: w.bucket.created, Absent: true}
		w.notef("key of group %d purged", group)
		return
	}
	w.bucket.last++
	w.put(group, created, Entry{Created: w.bucket.created, Revision: w.bucket.last, Absent: true})
}
