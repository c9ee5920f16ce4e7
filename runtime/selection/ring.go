package selection

import "math/bits"

// ring is a circle of hashes, one per candidate. It finds the candidate that follows a
// point of the circle in constant time on average: the hashes are uniform, so that a table
// by their first bits leads close to it.
type ring struct {
	hashes []uint64 // ascending
	owner  []uint32 // the position in the view, of each hash
	start  []uint32 // where each bucket begins in hashes, and where the last one ends
	shift  uint     // by which a hash is shifted to get its bucket
}

// newRing makes the ring of a list of candidates. It takes O(n) on average.
func newRing(list []*Instance) *ring {
	n := len(list)
	width := bits.Len(uint(n)) // at least as many buckets as hashes
	r := &ring{
		hashes: make([]uint64, n),
		owner:  make([]uint32, n),
		start:  make([]uint32, 1<<width+1),
		shift:  uint(64 - width),
	}
	for _, i := range list {
		r.start[i.hash>>r.shift+1]++
	}
	for b := 1; b < len(r.start); b++ {
		r.start[b] += r.start[b-1]
	}
	filled := make([]uint32, 1<<width)
	for position, i := range list {
		bucket := i.hash >> r.shift
		r.insert(int(r.start[bucket]), int(filled[bucket]), i.hash, uint32(position))
		filled[bucket]++
	}
	return r
}

// insert puts a hash into a bucket that begins at first and has size hashes.
func (r *ring) insert(first, size int, hash uint64, position uint32) {
	at := first + size
	for ; at > first && r.hashes[at-1] > hash; at-- {
		r.hashes[at], r.owner[at] = r.hashes[at-1], r.owner[at-1]
	}
	r.hashes[at], r.owner[at] = hash, position
}

// after returns the index of the first hash that is not before point.
func (r *ring) after(point uint64) int {
	at := int(r.start[point>>r.shift])
	for at < len(r.hashes) && r.hashes[at] < point {
		at++
	}
	if at == len(r.hashes) {
		return 0
	}
	return at
}
