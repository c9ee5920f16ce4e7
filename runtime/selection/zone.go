package selection

import "slices"

// PreferZone returns the strategy that keeps calls within a zone, that of the caller, while
// an instance there can take them: it runs, is healthy, answers, has no more calls than it
// can run at once, and has refused none as too many within the last 100 ms. Where none can,
// the call goes to another zone, and the next one is looked at anew. Within the zone, and
// among the other zones, the less loaded one of two random instances is taken, as
// [LeastLoaded] does. Instances without a zone are in none.
//
// A zone with few instances and many callers is used up to the limit of its instances, as
// calls between zones are those that cost.
func PreferZone(zone string) Strategy { return preferZone{zone: zone} }

type preferZone struct {
	Ignorant
	zone string
}

// zones are the candidates of a view, those of the zone and the rest.
type zones struct{ near, far part }

// part is some of the candidates of a view.
type part struct {
	list []*Instance
	at   []int // their positions in the view
}

// Prepare divides the candidates.
func (z preferZone) Prepare(view, _ *View) any {
	divided := new(zones)
	for at, i := range view.list {
		to := &divided.far
		if i.origin.zone == z.zone {
			to = &divided.near
		}
		to.list, to.at = append(to.list, i), append(to.at, at)
	}
	return divided
}

// Pick picks in the zone, else where there is room, else anywhere.
func (z preferZone) Pick(view *View, call Call) int {
	divided := view.Prepared().(*zones) //nolint:forcetypeassert // Prepare has made it
	if at := view.withRoom(&divided.near, call); at != None {
		return at
	}
	if at := view.withRoom(&divided.far, call); at != None {
		return at
	}
	return leastLoaded{}.Pick(view, call)
}

// withRoom picks an instance of a part that is not full, and returns its position in the
// view, or None.
func (v *View) withRoom(p *part, call Call) int {
	if len(p.list) == 0 {
		return None
	}
	now := v.set.cfg.Now()
	roomy := func(i *Instance) bool { return call.Usable(i) && !i.full(now) }
	at, ok := v.lessLoaded(p.list, roomy)
	if !ok { // by chance, as it may be
		at = slices.IndexFunc(p.list, roomy)
	}
	if at < 0 {
		return None
	}
	return p.at[at]
}
