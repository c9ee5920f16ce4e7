package selection

import (
	"math"
	"time"
)

const (
	// idleLoad is added to every number of calls, so that one call more or less makes no
	// difference between instances that have next to none.
	idleLoad = 4
	// idleLatency is added to every latency for the same reason.
	idleLatency = float64(time.Millisecond)
	// chanceRatio is the ratio of costs up to which chance may be the reason. Up to there
	// the cheaper one of a pair is taken with the probability likely at most.
	chanceRatio = 4
	likely      = 0.75
	// clearRatio is the ratio from which on the cheaper one is always taken.
	clearRatio = 8
	// evenChance is the probability of each of two equals. An instance has at least that
	// against a new one.
	evenChance = 0.5
	// slowestStart is the fraction of its share that an instance begins with.
	slowestStart = 0.1
)

// LeastLoaded returns the strategy that compares two random candidates and prefers the
// less loaded one (Mitzenmacher: The power of two choices in randomized load balancing,
// IEEE TPDS 2001). As it compares two only, clients that all see the same heartbeats do not
// send all calls to one instance: none ever gets more than twice the mean.
//
// The cost of a candidate is
//
//	(outstanding + 4) x (own latency + 1 ms) x sqrt((others + 4) x (said latency + 1 ms)) / capacity
//
// Outstanding and own latency are of the calls of this client process: exact and current.
// The own latency is an average that fades with a half-life of 5 s, so that an instance
// that was slow is tried again with single calls. Others, said latency and capacity come
// with the heartbeats: the calls of other client processes, and the mean latency lately.
// These figures are up to a heartbeat old, and all clients use the same ones: if they
// counted in full, the load would swing from one instance to the other; hence the root. A
// latency or capacity that one of the two lacks counts for neither.
//
// The cheaper one is taken with a probability of 1/2 at equal costs, which
// rises linearly with their ratio to 3/4 at four times and to 1 at eight times.
// So differences by chance decide little: the share of each of many equals stays under
// 2 x 3/4 of the mean. Clear differences decide all: an instance that is 20 ms slower than
// the rest gets next to nothing.
//
// An instance that joins would look idle to all clients at once. For [Config.SlowStart] it
// gets a tenth of an equal share, rising linearly to a whole one, and no more than that
// before a latency of it is known.
func LeastLoaded() Strategy { return leastLoaded{} }

type leastLoaded struct{ Ignorant }

func (leastLoaded) Pick(view *View, call Call) int {
	at, _ := view.lessLoaded(view.list, call.Usable)
	return at // if that is not usable, the picker takes another one
}

// lessLoaded draws two of the list, and returns the position of the less loaded one. It
// returns false if none of those that it has drawn can be used.
func (v *View) lessLoaded(list []*Instance, usable func(*Instance) bool) (int, bool) {
	n := len(list)
	if n == 1 {
		return 0, usable(list[0])
	}
	var a, b int
	for range 1 + redraws {
		a, b = pair(v.set.cfg.Rand(), n)
		switch usableA, usableB := usable(list[a]), usable(list[b]); {
		case usableA && usableB:
			if v.prefersFirst(list[a], list[b]) {
				return a, true
			}
			return b, true
		case usableA:
			return a, true
		case usableB:
			return b, true
		}
	}
	return a, false
}

// pair returns two different numbers from 0 to n-1.
func pair(random uint64, n int) (int, int) {
	a := int(random >> 32 * uint64(n) >> 32)
	b := int(random & (1<<32 - 1) * uint64(n-1) >> 32)
	if b >= a {
		b++
	}
	return a, b
}

// prefersFirst reports whether a is picked, and not b.
func (v *View) prefersFirst(a, b *Instance) bool {
	now := v.set.cfg.Now()
	chance := chanceOfFirst(a, b, now)
	limitA, limitB := v.set.limit(a, now), v.set.limit(b, now)
	switch {
	case limitA < 1 && limitB == 1:
		chance = min(chance, limitA)
	case limitB < 1 && limitA == 1:
		chance = max(chance, 1-limitB)
	}
	return unit(v.set.cfg.Rand()) < chance
}

// chanceOfFirst returns the probability of picking a, by the costs of both.
func chanceOfFirst(a, b *Instance, now time.Duration) float64 {
	costA, costB := costs(a, b, now)
	better := chanceOfCheaper(max(costA, costB) / min(costA, costB))
	if costA <= costB {
		return better
	}
	return 1 - better
}

// chanceOfCheaper returns the probability of picking the cheaper one of two whose costs
// have that ratio.
func chanceOfCheaper(ratio float64) float64 {
	if ratio <= chanceRatio {
		return evenChance + (likely-evenChance)*(ratio-1)/(chanceRatio-1)
	}
	return min(1, likely+(1-likely)*(ratio-chanceRatio)/(clearRatio-chanceRatio))
}

// costs returns the costs of both, which can only be compared with each other.
func costs(a, b *Instance, now time.Duration) (float64, float64) {
	ownA, ownB := idleLatency, idleLatency
	if seenA, seenB := a.observed.get(now), b.observed.get(now); seenA > 0 && seenB > 0 {
		ownA, ownB = ownA+seenA, ownB+seenB
	}
	saidA, saidB := idleLatency, idleLatency
	if toldA, toldB := a.latency.Load(), b.latency.Load(); toldA > 0 && toldB > 0 {
		saidA, saidB = saidA+float64(toldA), saidB+float64(toldB)
	}
	costA := float64(a.outstanding.Load()+idleLoad) * ownA * math.Sqrt(float64(a.others()+idleLoad)*saidA)
	costB := float64(b.outstanding.Load()+idleLoad) * ownB * math.Sqrt(float64(b.others()+idleLoad)*saidB)
	if capA, capB := a.capacity.Load(), b.capacity.Load(); capA > 0 && capB > 0 {
		costA, costB = costA/float64(capA), costB/float64(capB)
	}
	return costA, costB
}

// limit returns the highest probability with which i is picked beside an instance that is
// not new; 1 if i is not new itself.
func (s *Set) limit(i *Instance, now time.Duration) float64 {
	age := now - time.Duration(i.since.Load())
	if age < s.cfg.SlowStart {
		ramp := float64(max(age, 0)) / float64(s.cfg.SlowStart)
		return evenChance * (slowestStart + (1-slowestStart)*ramp)
	}
	if i.latency.Load() == 0 && i.observed.value.Load() == 0 {
		return evenChance
	}
	return 1
}

// unit maps random bits to [0, 1).
func unit(random uint64) float64 { return float64(random>>11) / (1 << 53) }
