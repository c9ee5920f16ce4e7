package selection

// None is what [Strategy.Pick] returns to pick nobody.
const None = -1

// Strategy decides which instance a call goes to. Implementations have to be
// safe for concurrent use, must not block, and should be fast: they run within
// every call.
//
// One value may serve several pickers at once, so what belongs to one of them
// goes into what [Preparer] returns.
type Strategy interface {
	// Pick returns the position in view of the instance to call, or None. The
	// view has at least one candidate. Where [Call.Usable] says no to the one
	// picked, the picker takes the next usable one in the order of the view, so
	// a strategy need not look at what was tried.
	//
	// None ends the call with [ErrDeclined], any other number outside the view
	// and a panic with [ErrStrategy].
	Pick(view *View, call Call) int
	// Started says that a call goes to instance, which may be another one than
	// Pick named.
	Started(instance *Instance)
	// Finished says that this call has ended. It comes exactly once for each
	// Started, also if the instance has left since.
	Finished(instance *Instance, outcome Outcome)
}

// Preparer is for strategies that keep something per view, such as a ring of
// hashes.
type Preparer interface {
	// Prepare returns what [View.Prepared] of view returns from then on. Within
	// one picker it is called for one view after the other, before any Pick
	// from that view; previous is the view before, nil for the first. Picks from
	// the previous view may go on.
	Prepare(view, previous *View) any
}

// StrategyFunc is a [Strategy] that is only a function and learns nothing of
// calls.
type StrategyFunc func(view *View, call Call) int

// Pick calls f.
func (f StrategyFunc) Pick(view *View, call Call) int { return f(view, call) }

// Started does nothing.
func (StrategyFunc) Started(*Instance) {}

// Finished does nothing.
func (StrategyFunc) Finished(*Instance, Outcome) {}

// Ignorant can be embedded in a [Strategy] that learns nothing of calls: its
// Started and Finished do nothing.
type Ignorant struct{}

// Started does nothing.
func (Ignorant) Started(*Instance) {}

// Finished does nothing.
func (Ignorant) Finished(*Instance, Outcome) {}
