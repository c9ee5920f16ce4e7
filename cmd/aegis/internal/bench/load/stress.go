package load

// Staircase says which rates a stress test tries: from Start on, each Factor times the last,
// until one does not hold, and then, between the last that held and the first that did
// not, Refine further ones, each in the middle.
type Staircase struct {
	Start, Factor float64
	Max           float64 // where it ends though all held; 0 for no such bound
	Refine        int
}

// Stress tries rates until goOn is false, for an end from outside, and returns the highest
// that held, or 0. A rate that has not held is tried a second time, since for a moment a
// machine may be busy with something else.
func Stress(s Staircase, tryOnce func(rate float64) (held, goOn bool)) float64 {
	try := func(rate float64) (held, goOn bool) {
		if held, goOn = tryOnce(rate); held || !goOn {
			return held, goOn
		}
		return tryOnce(rate)
	}
	var best, worst float64
	for rate := s.Start; worst == 0; rate *= s.Factor {
		if s.Max > 0 && rate > s.Max {
			if best == s.Max {
				return best
			}
			rate = s.Max
		}
		held, goOn := try(rate)
		switch {
		case !goOn:
			return best
		case held:
			best = rate
		default:
			worst = rate
		}
	}
	if best == 0 {
		return 0
	}
	for range s.Refine {
		rate := (best + worst) / 2
		held, goOn := try(rate)
		switch {
		case !goOn:
			return best
		case held:
			best = rate
		default:
			worst = rate
		}
	}
	return best
}
