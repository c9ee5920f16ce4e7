package health

import "time"

// Connection is the state of a connection to NATS, with counts since it was made.
type Connection struct {
	// Up is set while the connection is up.
	Up bool
	// Outages is how often the connection was lost, with an outage that lasts; Down is for
	// how long it was down in all.
	Outages uint64
	Down    time.Duration
	// Denials is how often NATS has refused a message or a subscription for want of a
	// permission. On a connection that the program has made itself, only the refusals count
	// for which something of Aegis waits.
	Denials uint64
	// Streams is the number of streams that clients have open.
	Streams int
	// Leaders are the gaps of the leaders that clients call, by service and group.
	Leaders []LeaderGaps
}

// LeaderGaps are the times in which calls to a single active group found no leader that took
// them. A gap begins with such a call, and ends when a leader announces itself or answers a
// call; without calls none is seen.
type LeaderGaps struct {
	Service, Group string
	// Gaps is the number of gaps, with one that lasts, and Lasted how long they were in all.
	Gaps   uint64
	Lasted time.Duration
}
