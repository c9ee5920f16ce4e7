package monitorapi

import "time"

// LeaderState says how a leader is.
type LeaderState string

// The states of a leadership.
const (
	// LeaderLeads: the leader answers.
	LeaderLeads LeaderState = "leads"
	// LeaderSilent: it holds the lease and does not answer; it is frozen or overloaded.
	LeaderSilent LeaderState = "silent"
	// LeaderGone: NATS says that it has no connection any more, and nobody follows yet.
	LeaderGone LeaderState = "gone"
	// LeaderNone: the group is released, and nobody follows yet.
	LeaderNone LeaderState = "none"
)

// Leaders is the document at "leaders".
type Leaders struct {
	Header

	Leaders []Leadership `json:"leaders"` // in order of service and group
}

// Leadership is a group with its leader and the history of the last hour.
type Leadership struct {
	Service  string      `json:"service"`
	Group    string      `json:"group"`
	State    LeaderState `json:"state"`
	Instance string      `json:"instance"` // "" if nobody leads
	Process  string      `json:"process"`
	Term     uint64      `json:"term"`
	// Since is when the term began as far as the monitor knows; null if nobody leads.
	Since *time.Time `json:"since"`
	// StateSince is when the state began.
	StateSince time.Time `json:"stateSince"`
	LeaseMs    *int64    `json:"leaseMs"`
	// Candidates are the instances that take part, in order of their names.
	Candidates []Candidate `json:"candidates"`
	// From and To are the ends of the strip: the last hour, or what was watched of it.
	From   time.Time `json:"from"`
	To     time.Time `json:"to"`
	Reigns []Reign   `json:"reigns"` // the oldest first
	Gaps   []Gap     `json:"gaps"`   // the oldest first
	// LeaderlessSeconds is the length of all gaps together.
	LeaderlessSeconds float64 `json:"leaderlessSeconds"`
}

// Candidate is an instance that takes part in the election of a group.
type Candidate struct {
	Instance string `json:"instance"`
	Leads    bool   `json:"leads"`
	Stands   bool   `json:"stands"`
}

// Reign is a time with one leader.
type Reign struct {
	Instance string    `json:"instance"`
	Term     uint64    `json:"term"`
	From     time.Time `json:"from"`
	// To is null while it lasts.
	To *time.Time `json:"to"`
}

// Gap is a time without a leader.
type Gap struct {
	From time.Time `json:"from"`
	// To is null while it lasts.
	To      *time.Time `json:"to"`
	Seconds float64    `json:"seconds"`
	// Cause is "stopped" (the leader has released the group), "lost" (its connection was gone),
	// "silent" (another one followed while it did not answer) or "unknown".
	Cause string `json:"cause"`
	// Before and After are the instances that led before and after it; "" if not known.
	Before string `json:"before"`
	After  string `json:"after"`
	// Exact: the monitor has seen both ends. Else the true gap may be shorter or longer.
	Exact bool `json:"exact"`
}
