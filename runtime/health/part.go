package health

import "time"

// Part is the state of one part of a server that can fail while the others work, such as
// the commands of a method.
type Part struct {
	// Name is the part's name as people read it, such as "the commands of
	// order.v1.OrderService.Reconcile".
	Name string
	// Err says why the part cannot work now; nil if it works. It is also set, and counts
	// as no failure, before it is known whether the part works.
	Err error
	// Failures is how often the part has begun to fail.
	Failures uint64
	// Since is when the present failure began; zero if there is none.
	Since time.Time
	// Broken is for how long the part could not work in all, with the present failure.
	Broken time.Duration
}
