// Package history records what processes do on the one clock that they share,
// so that it survives their sudden death, and reads it back.
package history

// Kind says what a Record is about.
type Kind uint8

const (
	// Started is a handler: Begin is when the runtime decided to let it run, End
	// when its first line ran.
	Started Kind = iota + 1
	// Ended is a handler that returns: End is when.
	Ended
	// Elected is a call of OnLeading: Begin is when it began.
	Elected
	// Called is a call as its caller saw it, from Begin to End. Of durable work it
	// is the sending.
	Called
	// Resulted is the end of a command as its sender was told: End is when. Unknown
	// means that there is no such command.
	Resulted
	// Answered is a sign of life: at End, NATS had taken all that the process had
	// sent before Begin.
	Answered
)

// Outcome says how a call returned, as far as its caller knows.
type Outcome uint8

const (
	// Accepted means that the reply said so.
	Accepted Outcome = iota + 1
	// Refused means an error that promises that nothing has run.
	Refused
	// Unknown means any other error. The call may have had its effect, or may have it
	// at any later time.
	Unknown
	// GivenUp means an error that is for good. Of an attempt at durable work,
	// Refused means one that is to be tried again.
	GivenUp
)

// Reason is why a call failed, where that matters.
type Reason uint8

const (
	// OtherReason is none of the next ones.
	OtherReason Reason = iota
	// NotActive is NOT_ACTIVE: no leader until the deadline.
	NotActive
	// LeadershipLost is LEADERSHIP_LOST.
	LeadershipLost
	// Stale is STALE: refused by a process that was paused.
	Stale
	// TimedOut is the deadline.
	TimedOut
	// Unsettled is what the handler says of a write of unknown outcome.
	Unsettled
)

// Record is one line of a history. Fields that do not belong to its kind are zero.
type Record struct {
	Kind    Kind
	Outcome Outcome
	Reason  Reason
	Key     uint32
	// ID is the call's.
	ID uint64
	// Term is the leader's token. Of an attempt at durable work it is its number; of
	// a send that was refused and of a failure that was told, the code; of a success
	// that was told, the run that it is of.
	Term uint64
	// Previous is what the reply said was in the register. Of a stored or handled
	// event it is the sequence in the stream, of a result the id that it names, of an
	// attempt at a command its run.
	Previous uint64
	// Begin and End are readings of the shared clock.
	Begin, End int64
}
