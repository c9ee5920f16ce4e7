package selection

import (
	"sort"
	"strings"
)

// View is the list of the candidates of a service at one moment, in the order of their
// IDs. The list never changes; the figures of its instances do. It is safe for concurrent
// use.
type View struct {
	set      *Set
	version  uint64
	list     []*Instance
	prepared any
	broken   error // the panic of the strategy's Preparer
}

// Len returns the number of candidates.
func (v *View) Len() int { return len(v.list) }

// At returns the candidate at position i, from 0 to Len()-1 in the order of IDs.
func (v *View) At(i int) *Instance { return v.list[i] }

// Index returns the position of the candidate with this ID, and whether there
// is one. It takes O(log n).
func (v *View) Index(id string) (int, bool) { return find(v.list, id) }

// Outstanding returns the number of calls of this client process to the service that were
// sent and have not ended.
func (v *View) Outstanding() int { return int(v.set.outstanding.Load()) }

// Prepared returns the value that the strategy's [Preparer] has returned for this view, nil
// if the strategy is none.
func (v *View) Prepared() any { return v.prepared }

// next returns the first usable candidate after position i, nil if there is none.
func (v *View) next(i int, call Call) *Instance {
	for range v.list {
		if i++; i >= len(v.list) {
			i = 0
		}
		if call.Usable(v.list[i]) {
			return v.list[i]
		}
	}
	return nil
}

// find returns the position where id is, or belongs, in a list in the order of IDs, and
// whether it is there.
func find(list []*Instance, id string) (int, bool) {
	return sort.Find(len(list), func(i int) int { return strings.Compare(id, list[i].id) })
}
