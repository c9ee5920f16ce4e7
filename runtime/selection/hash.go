package selection

// hashString is FNV-1a with the finalizer of SplitMix64, which FNV needs as its high bits
// are weak for short strings. All clients of a service must use the same hash, as sticky
// keys would else go to different instances: it never changes, and has no seed. Keys that
// were chosen to collide do no more harm than one hot key, whose load is bounded.
func hashString(s string) uint64 {
	const (
		offset = 14695981039346656037
		prime  = 1099511628211
	)
	h := uint64(offset)
	for i := range len(s) {
		h ^= uint64(s[i])
		h *= prime
	}
	return mix(h)
}

// golden is 2^64 divided by the golden ratio, the step of SplitMix64.
const golden = 0x9e3779b97f4a7c15

// mix is the finalizer of SplitMix64 (Steele, Lea, Flood: Fast splittable
// pseudorandom number generators, OOPSLA 2014).
func mix(h uint64) uint64 {
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}
