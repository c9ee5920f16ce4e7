package registry

import "slices"

// Kind says what has changed.
type Kind int

// The kinds of changes.
const (
	// Joined: the instance is there.
	Joined Kind = iota + 1
	// StateChanged: it has another state, or another version.
	StateChanged
	// Leads: it leads a group.
	Leads
	// LeadsNoMore: it does not lead a group any more.
	LeadsNoMore
	// Left: it has stopped.
	Left
	// Expired: it was not heard any more.
	Expired
	// ConditionChanged: its condition is another one.
	ConditionChanged
)

// String returns the kind as people read it, such as "joined".
func (k Kind) String() string {
	switch k {
	case Joined:
		return "joined"
	case StateChanged:
		return "state changed"
	case Leads:
		return "leads"
	case LeadsNoMore:
		return "no longer leads"
	case Left:
		return "left"
	case Expired:
		return "expired"
	case ConditionChanged:
		return "condition changed"
	default:
		return "unknown change"
	}
}

// Change is one step of one instance. What happened together comes as several
// steps: an instance that joins as a leader first joins and then leads; one that
// is lost while it leads first does not lead any more and then expires.
type Change struct {
	Kind Kind
	// Record is the instance after this step; for Left and Expired what was
	// known last.
	Record *Record
	// Previous is the state before, for StateChanged.
	Previous State
	// Lead is which leadership, for Leads and LeadsNoMore.
	Lead Lead
}

// Key names an instance of a service.
type Key struct{ Service, Instance string }

// Key returns the key of a record.
func (r *Record) Key() Key { return Key{r.Service, r.Instance} }

// Gone reports whether the instance is gone after the change.
func (c *Change) Gone() bool { return c.Kind == Left || c.Kind == Expired }

// Diff returns the steps from one record of an instance to another; nil is no
// instance. ended is what becomes of an instance that is gone, or whose place
// another process has taken: Left or Expired.
func Diff(before, after *Record, ended Kind) []Change {
	switch {
	case before == nil && after == nil:
		return nil
	case before == nil:
		return join(after)
	case after == nil:
		return end(before, ended)
	case before.Process != after.Process:
		return append(end(before, ended), join(after)...)
	}
	return update(before, after)
}

func join(r *Record) []Change {
	joined := r.leading(nil)
	return lead([]Change{{Kind: Joined, Record: joined}}, joined, r)
}

func end(r *Record, kind Kind) []Change {
	changes := unlead(nil, r, r.leading(nil))
	return append(changes, Change{Kind: kind, Record: r.leading(nil)})
}

func update(before, after *Record) []Change {
	var changes []Change
	step := after.leading(before.Leads)
	if before.State != after.State || before.Version != after.Version {
		changed := *step
		changed.Condition = before.Condition
		changes = append(changes, Change{Kind: StateChanged, Record: &changed, Previous: before.State})
	}
	if before.Condition != after.Condition {
		changes = append(changes, Change{Kind: ConditionChanged, Record: step})
	}
	var kept []Lead
	for _, l := range before.Leads {
		if after.leads(l) {
			kept = append(kept, l)
		}
	}
	middle := after.leading(kept)
	return lead(unlead(changes, step, middle), middle, after)
}

// lead appends a step for each group that after leads and before does not.
func lead(changes []Change, before, after *Record) []Change {
	for _, l := range after.Leads {
		if !before.leads(l) {
			before = before.leading(WithLead(before.Leads, l))
			changes = append(changes, Change{Kind: Leads, Record: before, Lead: l})
		}
	}
	return changes
}

// unlead appends a step for each group that before leads and after does not.
func unlead(changes []Change, before, after *Record) []Change {
	for _, l := range before.Leads {
		if !after.leads(l) {
			before = before.leading(WithoutLead(before.Leads, l.Group))
			changes = append(changes, Change{Kind: LeadsNoMore, Record: before, Lead: l})
		}
	}
	return changes
}

func (r *Record) leads(l Lead) bool {
	return slices.ContainsFunc(r.Leads, func(own Lead) bool { return own.Group == l.Group && own.Term == l.Term })
}

// leading returns the record with other leads.
func (r *Record) leading(leads []Lead) *Record {
	c := *r
	c.Leads = leads
	return &c
}
