package selection

import "math"

const (
	// probes is the number of points that a key has on the ring. 21 points keep the greatest
	// share of keys at 1.05 times the mean.
	probes = 21
	// stickyFactor bounds an instance's outstanding calls, relative to the mean.
	stickyFactor = 1.5
	// stickyFloor is the number of outstanding calls below which the bound does
	// not apply: with few calls a key would wander for nothing.
	stickyFloor = 8
)

// Sticky returns the strategy that sends the calls of one key to one instance:
// consistent hashing with bounded loads. All clients that know the same
// candidates agree, in whatever process they are, and no message is needed for
// that. A call without a key is picked as by [LeastLoaded].
//
// Each instance has one point on a ring, each key has 21, and the instance that
// follows one of the key's points most closely is the key's (Appleton, O'Reilly:
// Multi-probe consistent hashing, arXiv 1505.00062, 2015). When one of n
// instances leaves, its keys (1/n of all, on average) spread over the others and
// no other key moves; when one joins, 1/(n+1) of the keys move, all of them to
// it. The same holds for an instance that is unhealthy, stopping or dead for a while.
//
// A call whose instance already has more than 1.5 times its share of the calls
// that this process has outstanding, and at least 8, goes to the next one in an
// order that is the key's own (Mirrokni, Thorup, Zadimoghaddam: Consistent
// hashing with bounded loads, SODA 2018; the load here is calls, not keys). One
// hot key therefore spreads instead of flooding one instance. Calls of other client
// processes do not count.
func Sticky() Strategy { return sticky{} }

type sticky struct{ Ignorant }

func (sticky) Prepare(view, _ *View) any { return newRing(view.list) }

func (sticky) Pick(view *View, call Call) int {
	if call.Key == "" {
		return leastLoaded{}.Pick(view, call)
	}
	r, ok := view.prepared.(*ring)
	if !ok {
		return None
	}
	key := hashString(call.Key)
	home := r.closest(key)
	bound := stickyBound(view)
	if fits(view, home, bound, call) {
		return home
	}
	return r.spill(view, call, key, bound)
}

// closest returns the candidate that follows one of the key's points most
// closely.
func (r *ring) closest(key uint64) int {
	best, nearest := 0, uint64(math.MaxUint64)
	for p := range uint64(probes) {
		point := mix(key + p*golden)
		at := r.after(point)
		if distance := r.hashes[at] - point; distance <= nearest {
			best, nearest = at, distance
		}
	}
	return int(r.owner[best])
}

// spill returns the next candidate in the key's order that fits: first the candidates that
// follow the key's points, then the rest of the ring. If all are full it returns the first
// usable one.
func (r *ring) spill(view *View, call Call, key uint64, bound int64) int {
	var at [probes]int
	var distance [probes]uint64
	for p := range uint64(probes) {
		point := mix(key + p*golden)
		i := r.after(point)
		d := r.hashes[i] - point
		slot := int(p)
		for ; slot > 0 && distance[slot-1] > d; slot-- {
			at[slot], distance[slot] = at[slot-1], distance[slot-1]
		}
		at[slot], distance[slot] = i, d
	}
	for _, i := range at {
		if owner := int(r.owner[i]); fits(view, owner, bound, call) {
			return owner
		}
	}
	for step := range len(r.owner) {
		if owner := int(r.owner[(at[0]+step)%len(r.owner)]); fits(view, owner, bound, call) {
			return owner
		}
	}
	for _, i := range at {
		if owner := int(r.owner[i]); call.Usable(view.list[owner]) {
			return owner
		}
	}
	return int(r.owner[at[0]]) // which is not usable, so that the picker takes another one
}

// fits reports whether the candidate can take the call, and has fewer calls than the bound.
func fits(view *View, at int, bound int64, call Call) bool {
	i := view.list[at]
	return i.outstanding.Load() < bound && call.Usable(i)
}

// stickyBound returns how many outstanding calls an instance may have, this one included.
func stickyBound(view *View) int64 {
	share := stickyFactor * float64(view.set.outstanding.Load()+1) / float64(view.Len())
	return max(stickyFloor, int64(math.Ceil(share)))
}
