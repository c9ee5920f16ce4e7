package board

import "time"

// GapTotal is all that a group was without a leader since the monitor began to watch. It
// never becomes less, though the documents forget what is older than an hour.
type GapTotal struct {
	Service, Group string
	Gaps           uint64 // also the one that lasts
	Seconds        float64
}

// GapsTotal returns the totals of all groups, in order of service and group.
func (b *Board) GapsTotal(now time.Time) []GapTotal {
	b.mu.Lock()
	defer b.unlock()
	var list []GapTotal
	for _, g := range b.groupsThat(func(*group) bool { return true }) {
		total := g.history.Total(now)
		list = append(list, GapTotal{Service: g.service, Group: g.name, Gaps: total.Gaps, Seconds: total.Length.Seconds()})
	}
	return list
}
