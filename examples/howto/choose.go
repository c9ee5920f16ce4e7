package howto

import (
	"strings"

	"github.com/aegisrpc/aegis/runtime/selection"
)

// Gold picks, of the instances with the label tier=gold that serve version 1 of the service,
// the one with the fewest calls. It leaves the leader alone, and the zone, as long as another
// one can take the call.
type Gold struct {
	selection.Ignorant

	Zone string
}

// Chooses is asked once for each instance: what it depends on never changes.
func (g Gold) Chooses(i *selection.Instance) bool {
	tier, _ := i.Label("tier")
	return !i.Reserved() && tier == "gold" && strings.HasPrefix(i.Version(), "1.")
}

// Pick is called for each call, and sees the instances that Chooses has let in and that run.
func (g Gold) Pick(view *selection.View, call selection.Call) int {
	best := selection.None
	for i := range view.Len() {
		if call.Usable(view.At(i)) && (best == selection.None || g.cost(view.At(i)) < g.cost(view.At(best))) {
			best = i
		}
	}
	return best
}

func (g Gold) cost(i *selection.Instance) int {
	cost := i.InFlight()
	if i.Zone() != g.Zone {
		cost += 1_000
	}
	if i.Leads("default") {
		cost += 1_000_000
	}
	return cost
}
