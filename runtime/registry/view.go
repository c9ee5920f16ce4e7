package registry

import (
	"encoding/json"
	"math"
	"time"
)

const (
	// MissedHeartbeats is the number of missed heartbeats after which an instance is gone.
	MissedHeartbeats = 3
	// Grace is how late a heartbeat may be.
	Grace = 250 * time.Millisecond
	// TickInterval is the longest time between two calls of [View.Tick]. If much more passes
	// between two calls of a view, the watcher itself was paused, and that time does not
	// count.
	TickInterval = time.Second
	// Memory is for how long a view remembers an instance that is gone: longer than the store
	// keeps a record that is not written any more.
	Memory = 10 * time.Minute
	// MaxInstances bounds the instances of a view, and those that it remembers.
	MaxInstances = 100_000

	forever = time.Duration(math.MaxInt64)
)

// View knows the instances that one watcher has heard of. Its methods take a reading of
// the watcher's monotonic clock, from any fixed point on. A View is not safe for
// concurrent use.
type View struct {
	observe func(Change)
	live    map[Key]*entry
	gone    map[Key]tombstone

	now       time.Duration // the last reading of the clock
	heard     time.Duration // how long this watcher has listened in all
	connected bool
	next      time.Duration // no instance is due before heard is that much
	forgetAt  time.Duration // when to drop old tombstones, compared with now

	bucket  int64  // which the listed entries are in; 0 for none
	round   uint64 // the number of the last sync
	ignored uint64
}

// entry is an instance that is there.
type entry struct {
	record   *Record
	metrics  json.RawMessage
	load     Load
	heard    time.Duration // when it was heard last, in the view's own time
	beat     time.Duration // when its last heartbeat came, by the clock; negative: none has
	listed   bool          // the store has its key
	removed  bool          // the store had its key, and has it no more
	revision uint64        // of the key, 0 in a new bucket
	round    uint64        // the sync that has seen the key
}

// due returns when the instance is gone unless it is heard, compared with View.heard.
func (e *entry) due() time.Duration {
	return e.heard + MissedHeartbeats*e.record.Heartbeat + Grace
}

// ending returns the kind of change of an instance that is not heard any more.
func (e *entry) ending() Kind {
	if e.removed {
		return Left
	}
	return Expired
}

// tombstone is an instance that is gone.
type tombstone struct {
	process     string
	incarnation uint64
	change      uint64
	kind        Kind
	at          time.Duration // of View.now
}

// NewView makes an empty view of a watcher that is connected. It hands every
// change to observe, in the call that brings it about.
func NewView(now time.Duration, observe func(Change)) *View {
	return &View{
		observe: observe, live: make(map[Key]*entry), gone: make(map[Key]tombstone),
		now: now, connected: true, next: forever, forgetAt: now + Memory,
	}
}

// advance takes a reading of the clock. Time in which the watcher could not hear does not
// count as time that it has listened.
func (v *View) advance(now time.Duration) {
	step := max(now-v.now, 0)
	v.now += step
	if v.connected {
		v.heard += min(step, 2*TickInterval)
	}
}

// Connection says whether the watcher is connected. When it comes back each instance has
// the full time again.
func (v *View) Connection(now time.Duration, connected bool) {
	v.advance(now)
	v.connected = connected
	if connected {
		for _, e := range v.live {
			e.heard = v.heard
		}
	}
}

// Tick expires the instances that are due. Call it when [View.Next] has passed.
func (v *View) Tick(now time.Duration) {
	v.advance(now)
	if v.now >= v.forgetAt {
		v.dropTombstones()
	}
	if v.heard < v.next {
		return
	}
	v.next = forever
	for key, e := range v.live {
		due := e.due()
		if due <= v.heard {
			v.endInstance(key, e, e.ending())
			continue
		}
		v.next = min(v.next, due)
	}
}

// Listened returns how long the view has been listening to heartbeats.
func (v *View) Listened() time.Duration { return v.heard }

// Next returns how long to wait before the next Tick.
func (v *View) Next() time.Duration {
	return max(min(v.next-v.heard, TickInterval), 0)
}

// dropTombstones drops those that are older than Memory.
func (v *View) dropTombstones() {
	for key, t := range v.gone {
		if v.now-t.at >= Memory {
			delete(v.gone, key)
		}
	}
	v.forgetAt = v.now + Memory/10
}

// Heard takes a heartbeat.
func (v *View) Heard(now time.Duration, b *Beat) {
	v.advance(now)
	r, key := b.Record, b.Record.Key()
	e := v.live[key]
	switch {
	case e == nil:
		if t, ok := v.gone[key]; r.State == Stopped || ok && !t.revivedBy(r) {
			return
		}
		e = v.join(key, r)
	case e.record.Process == r.Process:
		e.heard = v.heard
	case !v.replaces(e, r):
		return
	default:
		e = v.replace(key, e, r)
	}
	if e == nil {
		return
	}
	e.beat = v.now
	if r.Change < e.record.Change {
		return
	}
	e.metrics, e.load = b.Metrics, b.Load
	v.update(key, e, r)
}

// revivedBy reports whether a heartbeat with that record is of an instance that is back.
// After an instance has left, only a later change of its process counts, as its last
// heartbeats may be late.
func (t tombstone) revivedBy(r *Record) bool {
	return r.Process != t.process || r.Change > t.change || t.kind == Expired && r.Change == t.change
}

// replaces reports whether a heartbeat of another process puts that process in the place
// of the known one. An older incarnation does so only if the newer one is not heard: the
// clocks that number incarnations may differ.
func (v *View) replaces(e *entry, r *Record) bool {
	if r.State == Stopped {
		return false
	}
	return r.Incarnation > e.record.Incarnation || v.heard-e.heard > e.record.Heartbeat+Grace
}

// Record takes the record that the store has under a key since a revision.
func (v *View) Record(now time.Duration, revision uint64, r *Record) {
	v.advance(now)
	key := r.Key()
	e := v.live[key]
	switch {
	case r.State == Stopped:
		return
	case e == nil:
		if t, ok := v.gone[key]; ok && !t.olderThan(r) {
			return
		}
		e = v.join(key, r)
	case revision < e.revision:
		return // it is late
	case e.record.Process == r.Process:
		if r.Change > e.record.Change {
			e.heard = v.heard // news is a sign of life, repetition is not
			v.update(key, e, r)
		}
	case r.Incarnation > e.record.Incarnation:
		e = v.replace(key, e, r)
	default:
		return // it is of a process that was replaced
	}
	if e != nil {
		e.revision, e.round = revision, v.round
		e.listed, e.removed = true, false
	}
}

// olderThan reports whether the store's record is of an instance that is back.
func (t tombstone) olderThan(r *Record) bool {
	if r.Process == t.process {
		return r.Change > t.change
	}
	return r.Incarnation > t.incarnation
}

// Removed says that the store has a key no more, since a revision. The instance may live
// all the same; if it is not heard any more it counts as one that has left.
func (v *View) Removed(now time.Duration, revision uint64, key Key) {
	v.advance(now)
	e := v.live[key]
	if e == nil || revision < e.revision {
		return
	}
	e.listed, e.removed, e.revision = false, true, revision
}

// SyncBegin says that all records of a bucket follow. Buckets are told apart by
// when they were made.
func (v *View) SyncBegin(now time.Duration, bucket int64) {
	v.advance(now)
	v.round++
	if bucket != v.bucket {
		v.BucketLost(now)
	}
	v.bucket = bucket
}

// SyncEnd says that all records have come: the bucket has no other ones.
func (v *View) SyncEnd(now time.Duration) {
	v.advance(now)
	for _, e := range v.live {
		if e.listed && e.round != v.round {
			e.listed, e.removed = false, true
		}
	}
}

// BucketLost says that there is no bucket. No instance is gone for that.
func (v *View) BucketLost(now time.Duration) {
	v.advance(now)
	v.bucket = 0
	for _, e := range v.live {
		e.listed, e.revision = false, 0
	}
}

// Bucket returns the bucket of the last sync; 0 if it was lost, or there was none.
func (v *View) Bucket() int64 { return v.bucket }

// join adds an instance; nil if there is no room.
func (v *View) join(key Key, r *Record) *entry {
	if len(v.live) >= MaxInstances {
		v.ignored++
		return nil
	}
	delete(v.gone, key)
	e := &entry{record: r, heard: v.heard, beat: -1}
	v.live[key] = e
	v.next = min(v.next, e.due())
	v.tell(Diff(nil, r, 0))
	return e
}

// replace puts another process in the place of an instance.
func (v *View) replace(key Key, old *entry, r *Record) *entry {
	e := &entry{record: r, heard: v.heard, beat: -1, revision: old.revision}
	v.live[key] = e
	v.next = min(v.next, e.due())
	v.tell(Diff(old.record, r, old.ending()))
	return e
}

// update takes a newer record of the same process.
func (v *View) update(key Key, e *entry, r *Record) {
	if r.Change <= e.record.Change {
		return
	}
	if r.State == Stopped {
		e.record = e.record.changed(r.Change) // so that earlier heartbeats do not bring it back
		v.endInstance(key, e, Left)
		return
	}
	old := e.record
	e.record = r
	v.next = min(v.next, e.due())
	v.tell(Diff(old, r, 0))
}

// changed returns the record with another number of its change.
func (r *Record) changed(change uint64) *Record {
	c := *r
	c.Change = change
	return &c
}

// endInstance removes an instance, and remembers it.
func (v *View) endInstance(key Key, e *entry, kind Kind) {
	delete(v.live, key)
	if len(v.gone) < MaxInstances {
		r := e.record
		v.gone[key] = tombstone{process: r.Process, incarnation: r.Incarnation, change: r.Change, kind: kind, at: v.now}
	}
	v.tell(Diff(e.record, nil, kind))
}

// tell hands changes to the observer.
func (v *View) tell(changes []Change) {
	for _, c := range changes {
		v.observe(c)
	}
}

// Instance is an instance in a view.
type Instance struct {
	Record  *Record         // not to be changed
	Metrics json.RawMessage // of its last heartbeat; not to be changed
	Load    Load            // of its last heartbeat
	// Heard is when that came, by the clock that the view is told; negative if none has.
	Heard time.Duration
}

// Instances calls f with every instance, in no order, until f returns false.
func (v *View) Instances(f func(Instance) bool) {
	for _, e := range v.live {
		if !f(Instance{e.record, e.metrics, e.load, e.beat}) {
			return
		}
	}
}

// Len returns the number of instances.
func (v *View) Len() int { return len(v.live) }

// Ignored returns how many times there was no room for an instance.
func (v *View) Ignored() uint64 { return v.ignored }

// record returns the record of a key, or nil.
func (v *View) record(key Key) *Record {
	if e := v.live[key]; e != nil {
		return e.record
	}
	return nil
}

// endingOf returns the kind of change that ended the instance of a key, Expired if the view
// does not remember it.
func (v *View) endingOf(key Key) Kind {
	if t, ok := v.gone[key]; ok {
		return t.kind
	}
	return Expired
}
