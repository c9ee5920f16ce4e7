package monitorapi

import "time"

// EventKind is the kind of an event of the system.
type EventKind string

// The kinds.
const (
	EventJoined      EventKind = "joined"
	EventLeft        EventKind = "left"
	EventExpired     EventKind = "expired"
	EventState       EventKind = "state"
	EventLeader      EventKind = "leader"     // a term has begun
	EventLeaderless  EventKind = "leaderless" // a gap has begun
	EventFinding     EventKind = "finding"
	EventFindingOver EventKind = "findingOver"
	EventDeadLetters EventKind = "deadLetters" // their number has grown
	EventConnection  EventKind = "connection"  // of the monitor itself
	EventAction      EventKind = "action"      // somebody has done something over this monitor
)

// Activity is the document at "activity": the events of the last hour, the latest first.
type Activity struct {
	Header

	Events []Event `json:"events"`
	// Dropped is how many events of the hour are forgotten, as there were too many.
	Dropped uint64 `json:"dropped"`
}

// Event is an event of the system.
type Event struct {
	// ID grows with each event of a monitor.
	ID       uint64    `json:"id"`
	At       time.Time `json:"at"`
	Kind     EventKind `json:"kind"`
	Level    Level     `json:"level"`
	Service  string    `json:"service"`
	Instance string    `json:"instance"`
	Group    string    `json:"group"`
	Method   string    `json:"method"`
	Text     string    `json:"text"`
}
