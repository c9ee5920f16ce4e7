package monitorapi

import (
	"encoding/json"
	"time"
)

// Work is the document at "work": all durable work.
type Work struct {
	Header

	Queues        []Queue        `json:"queues"`        // of commands, the longest first
	Subscriptions []Subscription `json:"subscriptions"` // of durable events, the greatest lag first
	Streams       []Stream       `json:"streams"`       // in order of service and kind
	DeadLetters   []LetterGroup  `json:"deadLetters"`   // the greatest groups first
}

// Queue is the commands of one method.
type Queue struct {
	Service string `json:"service"`
	Method  string `json:"method"`
	Level   Level  `json:"level"`
	// Scheduled are not due yet, Waiting wait for a worker, Running were given to a worker
	// once, and Retrying more than once.
	Scheduled int `json:"scheduled"`
	Waiting   int `json:"waiting"`
	Running   int `json:"running"`
	Retrying  int `json:"retrying"`
	// Oldest is when the oldest command that is due was stored; null for none.
	Oldest *time.Time `json:"oldest"`
	// AddedPerSecond and DonePerSecond are of the last minute; null until they are known.
	AddedPerSecond *float64 `json:"addedPerSecond"`
	DonePerSecond  *float64 `json:"donePerSecond"`
	// Priorities has the numbers of each priority, the highest first.
	Priorities []QueuePriority `json:"priorities"`
	// Workers: a worker has worked the method once.
	Workers     bool       `json:"workers"`
	PausedUntil *time.Time `json:"pausedUntil"`
	// Hour is the number of commands that wait, in 60 parts, the oldest first.
	Hour []*float64 `json:"hour"`
}

// QueuePriority counts the commands of a priority.
type QueuePriority struct {
	Priority string `json:"priority"`
	Waiting  int    `json:"waiting"`
	UnderWay int    `json:"underWay"`
}

// Subscription is the durable events of a method for a group, or a named instance.
type Subscription struct {
	Service  string `json:"service"`
	Method   string `json:"method"`
	Group    string `json:"group"`
	Instance string `json:"instance"`
	Level    Level  `json:"level"`
	// Lag is how many events were not delivered yet; Pending were and are not acknowledged,
	// Redelivered of them more than once.
	Lag         uint64 `json:"lag"`
	Pending     int    `json:"pending"`
	Redelivered int    `json:"redelivered"`
	// Waiting is how many requests for events wait: 0 while nobody asks.
	Waiting       int        `json:"waiting"`
	DonePerSecond *float64   `json:"donePerSecond"`
	LastDelivery  *time.Time `json:"lastDelivery"`
	LastAck       *time.Time `json:"lastAck"`
	PausedUntil   *time.Time `json:"pausedUntil"`
	// Hour is the lag, in 60 parts, the oldest first.
	Hour []*float64 `json:"hour"`
}

// Stream is a JetStream stream of a service.
type Stream struct {
	Service  string     `json:"service"`
	Kind     string     `json:"kind"` // events, commands, results, dead or attempts
	Name     string     `json:"name"`
	Level    Level      `json:"level"`
	Messages uint64     `json:"messages"`
	Bytes    uint64     `json:"bytes"`
	MaxBytes *int64     `json:"maxBytes"` // null for no limit
	Refuses  bool       `json:"refuses"`  // a full stream refuses what comes; else it drops the oldest
	Replicas int        `json:"replicas"`
	Leader   string     `json:"leader"`
	Behind   []string   `json:"behind"` // NATS servers that are offline or not current
	First    *time.Time `json:"first"`
	Last     *time.Time `json:"last"`
}

// LetterGroup is the dead letters of a method with one pattern of reasons.
type LetterGroup struct {
	Service string `json:"service"`
	Method  string `json:"method"`
	// Consumer is the consumer that gave up events; "" for commands.
	Consumer string `json:"consumer"`
	// Reason is the pattern of the reasons, and Example one of them.
	Reason  string    `json:"reason"`
	Example string    `json:"example"`
	Count   int       `json:"count"`
	First   time.Time `json:"first"`
	Last    time.Time `json:"last"`
	// UpTo is the sequence of the last letter: an action on the group treats those up to it.
	UpTo uint64 `json:"upTo"`
}

// Letters is the document at "deadletters/{service}": the letters of a group, the oldest
// first, a page at a time.
type Letters struct {
	Letters []Letter `json:"letters"`
	// Next is the sequence after which the next page begins; null at the end.
	Next *uint64 `json:"next"`
}

// Letter is one dead letter.
type Letter struct {
	Service  string    `json:"service"`
	Method   string    `json:"method"`
	Consumer string    `json:"consumer"`
	Sequence uint64    `json:"sequence"`
	ID       string    `json:"id"` // of a command; "" for an event
	Code     string    `json:"code"`
	Reason   string    `json:"reason"`
	Attempts int       `json:"attempts"`
	Time     time.Time `json:"time"` // when it was given up
	Sent     time.Time `json:"sent"`
	// Returnable: it has data, so that it can be put back.
	Returnable bool `json:"returnable"`
	Payload
}

// Payload is a message, as far as this monitor shows it.
type Payload struct {
	// Hidden: the monitor shows no payloads. The other fields are empty then.
	Hidden bool `json:"hidden"`
	// Bytes is the size.
	Bytes int `json:"bytes"`
	// JSON is the message; null if it is hidden, or cannot be decoded as Undecoded says.
	JSON      json.RawMessage     `json:"json"`
	Undecoded string              `json:"undecoded"`
	Metadata  map[string][]string `json:"metadata"`
}

// CommandDetail is the document at "commands/{service}/{id}".
type CommandDetail struct {
	Header

	Service  string     `json:"service"`
	ID       string     `json:"id"`
	Method   string     `json:"method"` // "" for one that has ended
	State    string     `json:"state"`
	Priority string     `json:"priority"`
	Stored   time.Time  `json:"stored"`
	Due      *time.Time `json:"due"`
	Expires  *time.Time `json:"expires"`
	Attempt  int        `json:"attempt"`
	Failures int        `json:"failures"`
	FailedAt *time.Time `json:"failedAt"`
	// Canceling: it was canceled, and has not ended yet.
	Canceling bool `json:"canceling"`
	// Percent and Message are the last report of its handler; null and "" for none.
	Percent *float64 `json:"percent"`
	Message string   `json:"message"`
	// Code and Error say why it has ended without a response; "" else.
	Code  string `json:"code"`
	Error string `json:"error"`
	// Payload is the request; of a command that has succeeded the response.
	Payload
	// Letters are its dead letters.
	Letters []Letter `json:"letters"`
}
