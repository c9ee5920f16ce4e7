package selection

import "math/bits"

// Random returns the strategy that picks each candidate with the same probability.
func Random() Strategy { return random{} }

type random struct{ Ignorant }

func (random) Pick(view *View, call Call) int {
	n := view.Len()
	at := below(view.set.cfg.Rand(), n)
	// In place of an instance that is not usable the picker would take the next one, which
	// would so get twice its share.
	for range redraws {
		if call.Usable(view.list[at]) {
			break
		}
		at = below(view.set.cfg.Rand(), n)
	}
	return at
}

// redraws is how often an instance is drawn again that is not usable.
const redraws = 4

// below maps random bits to a number from 0 to n-1, by multiplication in place
// of division (Lemire: Fast random integer generation in an interval, 2019);
// the bias of n/2^64 does not matter here.
func below(random uint64, n int) int {
	high, _ := bits.Mul64(random, uint64(n))
	return int(high)
}
