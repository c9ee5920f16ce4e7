package registry

import "slices"

// Kind says what has changed at an instance.
type Kind int

// The kinds of changes.
const (
	// Joined says that the instance is there.
	Joined Kind = iota + 1
	// StateChanged says that it has another state, or another version.
	StateChanged
	// Leads says that it leads a group.
	Leads
	// StoppedLeading says that it does not lead a group any more.
	StoppedLeading
	// Left says that it has stopped.
	Left
	// Expired says that its heartbeats have not come any more.
	Expired
	// ConditionChanged says that it has another condition.
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
	case StoppedLeading:
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

// Change is one step of one instance. Changes that happened together come as several
// steps: an instance that joins as a leader first joins and then leads; an instance that
// is lost while it leads first does not lead any more and then expires.
type Change struct {
	Kind Kind
	// Record is the record of the instance after this step; for Left and Expired the last
	// one that was known.
	Record *Record
	// Previous is the state before, for StateChanged.
	Previous State
	// Lead is the leadership that begins or ends, for Leads and StoppedLeading.
	Lead Lead
}

// Key names an instance of a service.
type Key struct{ Service, Instance string }

// Key returns the key of a record.
func (r *Record) Key() Key { return Key{r.Service, r.Instance} }

// Gone reports whether the instance is gone after the change.
func (c *Change) Gone() bool { return c.Kind == Left || c.Kind == Expired }

// Diff returns the steps from one record of an instance to another; nil stands for no
// instance. ending is the kind of the last step of an instance that is gone, or whose
// place another process has taken: Left or Expired.
func Diff(before, after *Record, ending Kind) []Change {
	switch {
	case before == nil && after == nil:
		return nil
	case before == nil:
		return joinSteps(after)
	case after == nil:
		return endSteps(before, ending)
	case before.Process != after.Process:
		return append(endSteps(before, ending), joinSteps(after)...)
	}
	return updateSteps(before, after)
}

// joinSteps are those of an instance that comes.
func joinSteps(r *Record) []Change {
	joined := r.leading(nil)
	return lead([]Change{{Kind: Joined, Record: joined}}, joined, r)
}

// endSteps are those of an instance that goes; kind is the last one.
func endSteps(r *Record, kind Kind) []Change {
	changes := unlead(nil, r, r.leading(nil))
	return append(changes, Change{Kind: kind, Record: r.leading(nil)})
}

// updateSteps are those of a process that has changed its record.
func updateSteps(before, after *Record) []Change {
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
			changes = append(changes, Change{Kind: StoppedLeading, Record: before, Lead: l})
		}
	}
	return changes
}

// leads reports whether the record has that leadership.
func (r *Record) leads(l Lead) bool {
	return slices.ContainsFunc(r.Leads, func(own Lead) bool { return own.Group == l.Group && own.Term == l.Term })
}

// leading returns the record with other leads.
func (r *Record) leading(leads []Lead) *Record {
	c := *r
	c.Leads = leads
	return &c
}
