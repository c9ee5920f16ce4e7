package monitorapi

import "time"

// Level says how much something needs attention. Every level has a shape and a word of its
// own on the page, so that it is readable without colour.
type Level string

// The levels, from the best to the worst. LevelUnknown is that of what cannot be seen.
const (
	LevelOK        Level = "ok"
	LevelUnknown   Level = "unknown"
	LevelAttention Level = "attention"
	LevelCritical  Level = "critical"
)

// Header is what every live document begins with.
type Header struct {
	// At is when the document was made, and Revision grows with each document of a monitor.
	At       time.Time `json:"at"`
	Revision uint64    `json:"revision"`
	NATS     NATS      `json:"nats"`
	// Sources are what the document is made of, and how old that is.
	Sources []Source `json:"sources"`
	// Verdict says in words how all is.
	Verdict Verdict `json:"verdict"`
	// May is what this user may do.
	May May `json:"may"`
}

// Document is a live document.
type Document interface {
	// Head returns the header of the document, which may be changed.
	Head() *Header
}

// Head returns the header itself.
func (h *Header) Head() *Header { return h }

// NATS is the monitor's connection.
type NATS struct {
	Connected bool `json:"connected"`
	// Since is when it was made or lost.
	Since     time.Time `json:"since"`
	Namespace string    `json:"namespace"`
	// Server, Version and Cluster are those of the NATS server; "" while there is no
	// connection, and Cluster also for a single server.
	Server  string `json:"server"`
	Version string `json:"version"`
	Cluster string `json:"cluster"`
	// JetStream: the account has JetStream. Without it there are no leaders and no durable work.
	JetStream bool `json:"jetstream"`
}

// SourceName names one kind of what the monitor reads from NATS.
type SourceName string

// The sources.
const (
	SourceInstances   SourceName = "instances"   // heartbeats and the registry
	SourceFigures     SourceName = "figures"     // requests, errors and latency of each method
	SourceLeaders     SourceName = "leaders"     // the bucket of leaders, and what candidates answer
	SourceWork        SourceName = "work"        // streams, consumers and commands
	SourceDeadLetters SourceName = "deadLetters" // dead letters
)

// SourceState says whether a source can be read.
type SourceState string

// The states of a source.
const (
	SourceLoading SourceState = "loading" // it was not read yet
	SourceReady   SourceState = "ready"
	SourceDenied  SourceState = "denied" // NATS does not allow it to this user
	SourceAbsent  SourceState = "absent" // there is no JetStream
	SourceFailed  SourceState = "failed" // it cannot be read now
)

// Source is one kind of what the monitor reads.
type Source struct {
	Name  SourceName  `json:"name"`
	State SourceState `json:"state"`
	// At is when it was read last; null for never.
	At *time.Time `json:"at"`
	// Problem says what is missing and what to do, such as the permission; "" if all is well.
	Problem string `json:"problem"`
}

// Verdict is the first line of the page.
type Verdict struct {
	Level Level  `json:"level"`
	Text  string `json:"text"`
}

// May is what the user of a request may do with this monitor.
type May struct {
	Act          bool `json:"act"`          // put dead letters back and delete them
	Call         bool `json:"call"`         // call methods
	ShowPayloads bool `json:"showPayloads"` // see the payloads of commands, events and dead letters
}

// Finding is something that needs attention.
type Finding struct {
	// ID stays the same while the finding lasts.
	ID    string `json:"id"`
	Level Level  `json:"level"`
	// What says it in a few words ("ledger-3 is slow"), and Detail the rest.
	What   string `json:"what"`
	Detail string `json:"detail"`
	// Service, Instance, Group and Method are what it is about; "" for none.
	Service  string `json:"service"`
	Instance string `json:"instance"`
	Group    string `json:"group"`
	Method   string `json:"method"`
	// Since is when the monitor first saw it, or when it began where that is known.
	Since time.Time `json:"since"`
}

// Figures are those of the last seconds. The fields are null while they are not known.
type Figures struct {
	PerSecond    *float64 `json:"perSecond"`
	ErrorPercent *float64 `json:"errorPercent"`
	P50Ms        *float64 `json:"p50Ms"`
	P90Ms        *float64 `json:"p90Ms"`
	P99Ms        *float64 `json:"p99Ms"`
	InFlight     *int64   `json:"inFlight"`
}
