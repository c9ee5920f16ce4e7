package selection

// None is the result of [Strategy.Pick] that picks no instance.
const None = -1

// Strategy decides which instance a call goes to. Implementations have to be
// safe for concurrent use, must not block, and should be fast: they run within
// every call.
//
// One value may serve several pickers at once. State that belongs to one of them goes into
// the value that [Preparer] returns.
type Strategy interface {
	// Pick returns the position in view of the instance to call, or None. The view has at
	// least one candidate. Where [Call.Usable] is false for the instance that was picked, the
	// picker takes the next usable one in the order of the view, so that a strategy need not
	// look at Call.Tried.
	//
	// None ends the call with [ErrDeclined]; any other position outside the view, or a
	// panic, with an error that wraps [ErrStrategy].
	Pick(view *View, call Call) int
	// Started is called when a call is sent to instance, which may be another one than Pick
	// has returned.
	Started(instance *Instance)
	// Finished is called when that call has ended: exactly once for each Started, also if
	// the instance has left since then.
	Finished(instance *Instance, outcome Outcome)
}

// Preparer is implemented by strategies that make something of each view, such as a ring
// of hashes.
type Preparer interface {
	// Prepare returns the value that [View.Prepared] of view returns from then on. Within one
	// picker it is called for one view after the other, before any Pick from that view;
	// previous is the last view before it, nil for the first. Picks from the previous view
	// may go on.
	Prepare(view, previous *View) any
}

// Chooser is implemented by strategies that leave instances out of the view, and by those
// that may pick reserved instances, which the view of other strategies lacks.
type Chooser interface {
	// Chooses reports whether an instance belongs to the view. It depends on nothing but what
	// the instance says of itself and never changes: ID, zone, version, build, labels, and whether
	// it is reserved.
	Chooses(instance *Instance) bool
}

// StrategyFunc is a [Strategy] that is only a function, and is not told how calls end.
type StrategyFunc func(view *View, call Call) int

// Pick calls f.
func (f StrategyFunc) Pick(view *View, call Call) int { return f(view, call) }

// Started does nothing.
func (StrategyFunc) Started(*Instance) {}

// Finished does nothing.
func (StrategyFunc) Finished(*Instance, Outcome) {}

// Ignorant can be embedded in a [Strategy] that need not know how calls end: its Started
// and Finished do nothing.
type Ignorant struct{}

// Started does nothing.
func (Ignorant) Started(*Instance) {}

// Finished does nothing.
func (Ignorant) Finished(*Instance, Outcome) {}
