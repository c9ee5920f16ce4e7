package election

// Entry is the state of a group's key as the store showed it.
type Entry struct {
	// Created is when the bucket's stream was created, in nanoseconds since the
	// Unix epoch. It is part of the key, so that a write that was meant for a
	// deleted bucket cannot meet the record of the one made in its place.
	Created int64
	// Revision is the revision of the key's last write, zero if there was none.
	Revision uint64
	// Absent means that the key does not exist or its last write deleted it.
	Absent bool
	// Record is the decoded value, unless Absent or Err is set.
	Record Record
	// Err is why the value could not be decoded, as [DecodeRecord] gave it.
	Err error
}

// shows reports whether two entries are the same state of the same bucket.
func (e Entry) shows(other Entry) bool {
	return e.Created == other.Created && e.Revision == other.Revision && e.Absent == other.Absent &&
		e.Record.Process == other.Record.Process && e.Record.Term == other.Record.Term &&
		e.Record.Released == other.Record.Released && (e.Err == nil) == (other.Err == nil)
}

// Write is one compare-and-set.
type Write struct {
	// Created is the creation time of the bucket that the key names.
	Created int64
	// Over is the revision that must be the key's last one, zero for a key that
	// does not exist in this bucket.
	Over uint64
	// Record is the value to write.
	Record Record

	// deletes is set only by a mutation of the tests.
	deletes bool
}

// Store is a candidate's way to the record of its group. Each method only
// starts an operation and returns at once, without calling back; the outcome
// arrives later as an event that carries the same number. An outcome may come
// late, twice or never: the candidate gives up on an operation by itself, after
// [Candidate.Timeout] or when the connection changes.
type Store interface {
	// Read asks for the entry and the bucket's creation time, from the stream's
	// leader and never from a replica (no direct get). A bucket that does not
	// exist is created first. The answer goes to [Candidate.OnRead].
	Read(operation uint64)

	// Write sends the compare-and-set. The answer goes to [Candidate.OnWritten].
	Write(operation uint64, write Write)

	// Watch reports each new revision of the key in the bucket of this creation
	// time to [Candidate.OnWatch], in order, starting with the current one. A
	// watch that runs already is replaced.
	Watch(created int64)
}

// ConnID identifies the connection of a process at one moment. Two equal values
// that were read one after the other mean that nothing changed in between. The
// zero value means: not connected.
type ConnID struct {
	// ServerID is the id of the NATS server.
	ServerID string
	// ClientID is the number that this server gave to the connection.
	ClientID uint64
	// Reconnects is how often the client has reconnected. Read it first, and
	// again after the others: if it changed, read all again.
	Reconnects uint64
	// Generation is how often the liveness subscription was made: every new or
	// renewed subscription is a new generation.
	Generation uint64
}

// Connected reports whether there is a connection.
func (id ConnID) Connected() bool { return id.ServerID != "" }

// Probe is a message to the liveness subject of another process. Its reply
// subject must bring the answer, or "no responders", back on the subscription
// that also receives the messages to oneself, together with To and Number.
type Probe struct {
	// To is the process that is probed.
	To string
	// From is the process that probes, and ServerID the NATS server that it is
	// connected to.
	From, ServerID string
	// Number is never used twice by a process. It stands for the identity of the
	// prober's connection and for the revisions known when it was sent.
	Number uint64
	// WantAnswer is set until an answer came on this connection. Probes without
	// it are ignored by the receiver.
	WantAnswer bool
}

// Link connects a process with its own liveness subject and with those of others. Its
// methods return at once and do not call back; outcomes come later, as events.
type Link interface {
	// Identity returns what the connection is now. It is called before each
	// event is handled, so it must be cheap.
	Identity() ConnID

	// SendSelf publishes a message to the process's own liveness subject, in
	// order with the probes. It comes back through [Process.OnEcho].
	SendSelf(number uint64)

	// SendProbe publishes a probe. An answer comes back through
	// [Process.OnAnswer], "no responders" through [Process.OnNoResponders].
	SendProbe(probe Probe)

	// Resubscribe replaces the liveness subscription by a new one and counts
	// its generation up, before it returns.
	Resubscribe()
}

// Observer is told what becomes of one candidate. Its methods are called from
// within the events of the process, in order; they must return at once and must
// not call the process or its candidates.
type Observer interface {
	// Leading begins a term: run OnLeading and report its outcome to
	// [Candidate.Led]. Nothing is served yet.
	Leading(lease *Lease)

	// Serving follows a successful Led: subscribe to the term's subject, then
	// announce the term.
	Serving(lease *Lease)

	// Suspended is called when contact was lost, and Resumed when it is back. Replies that
	// [Lease.Reply] told to wait are tried again after Resumed.
	Suspended(lease *Lease)
	Resumed(lease *Lease)

	// Lost ends a term that Leading began, exactly once: leave its subject, end
	// its contexts; replies that wait become LEADERSHIP_LOST.
	Lost(lease *Lease, cause error)

	// Resigned follows [Candidate.Resign] once the record is released, or the lease has
	// ended without that.
	Resigned()

	// Problem reports what keeps the candidate from standing and what a person
	// can do about it. The candidate goes on trying. The same problem may be
	// reported again.
	Problem(err error)
}
