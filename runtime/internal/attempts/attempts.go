// Package attempts decides which deliveries of a message were attempts.
//
// JetStream counts deliveries. An attempt is a handler that began and did not
// give its work back in good order; so what is known of a message's attempts is
// stored beside it, in a record. A message without one that is delivered for the
// first time needs none: its handler begins at once. If the message is delivered
// again and the record does not know why, then the worker was lost. Whether the
// handler had begun, nobody can tell, as most messages that a worker loses were
// only held by it, or their handlers ran beside the one that ended the process.
// Such a message is a suspect. Its record says that its handler begins before it
// does, the handler runs alone, and the unseen beginning counts only if the
// worker is lost once more.
package attempts

import "github.com/aegisrpc/aegis/internal/wire"

// Message is one delivery of a message.
type Message struct {
	Sequence  uint64 // in its stream
	Stored    int64  // when it was stored, in nanoseconds since 1970
	Delivered int    // how often it was delivered, this time included
}

// Record is what is stored of the attempts of a message. Its zero value is that of
// a message of which nothing is stored.
type Record struct {
	// Sequence and Stored say which message it is about. A sequence alone could come
	// back, in a stream that is made anew.
	Sequence uint64
	Stored   int64
	// Delivered is the last delivery that the record knows about.
	Delivered int
	// Attempts is how many count.
	Attempts int
	// Begun says that the last of them was about to begin, and has not ended as far
	// as is known.
	Begun bool
	// Tries is how many handlers may have begun.
	Tries int
	// Reason is why there is to be no further attempt, where that is known.
	Reason string
}

// Parse reads a record; false means that it is none.
func Parse(data []byte) (Record, bool) {
	body, ok := wire.DecodeAttempts(data)
	r := Record(body)
	return r, ok && r.Sequence > 0 && r.Delivered >= 0 && r.Attempts >= 0 && r.Tries >= 0
}

// Encode writes a record.
func (r Record) Encode() []byte { return wire.Attempts(r).Encode() }

// Try is a message in the hands of a worker that has not begun it.
type Try struct {
	message Message
	record  Record
	most    int
	blind   bool
}

// New returns the try of a message of which r is stored, and which may have so
// many attempts. A record of another message counts as none.
func New(m Message, r Record, most int) Try {
	if r.Sequence != m.Sequence || r.Stored != m.Stored {
		r = Record{}
	}
	return Try{message: m, record: r, most: most}
}

// Blind returns the try of a message where no records can be kept: each delivery
// counts as an attempt.
func Blind(m Message, most int) Try {
	before := m.Delivered - 1
	return Try{message: m, record: Record{Delivered: before, Attempts: before, Tries: before}, most: most, blind: true}
}

// Counted is how many attempts of the message count so far.
func (t Try) Counted() int { return t.record.Attempts }

// Exhausted tells whether the message has had all its attempts.
func (t Try) Exhausted() bool { return t.record.Attempts >= t.most }

// Last tells whether the next attempt is the last one.
func (t Try) Last() bool { return t.record.Attempts+1 >= t.most }

// Number is that of the attempt that is to begin: one more than handlers may have
// begun, so that no two have the same one.
func (t Try) Number() int { return t.record.Tries + t.unseen() + 1 }

// unseen is 1 if a handler may have begun that no record tells of. There can be
// but one: after it the message is a suspect, and after a record that a handler
// begins it is one as well. Last attempts are always recorded.
func (t Try) unseen() int {
	before := t.message.Delivered - 1
	silent := before > 0 && t.record.Delivered != before // a greater one is from before the consumer counted anew
	if t.blind || !silent || t.record.Begun || t.Last() {
		return 0
	}
	return 1
}

// Suspect tells whether the message's handler may have ended its process: it has
// to run alone.
func (t Try) Suspect() bool { return t.record.Begun || t.unseen() > 0 }

// Noted tells whether the record has to say that the handler begins before it
// does: for suspects, and so that nothing begins after the last attempt.
func (t Try) Noted() bool { return !t.blind && (t.Suspect() || t.Last()) }

// Stored tells whether there is a record of the message, as far as the try knows.
func (t Try) Stored() bool { return !t.blind && t.record.Sequence > 0 }

// Begun is the record of a handler that is about to begin.
func (t Try) Begun() Record {
	r := t.next(true)
	r.Attempts += t.unseen() + 1
	r.Begun = true
	return r
}

// Failed is the record of a handler that has failed.
func (t Try) Failed() Record {
	r := t.next(true)
	r.Attempts++
	return r
}

// Dead is the record of a message that is to have no further attempt, and which
// cannot be put where such messages go yet.
func (t Try) Dead(reason string) Record {
	r := t.next(true)
	r.Attempts, r.Reason = t.most, reason
	return r
}

// Reason is why the message is exhausted, "" if nobody has said so.
func (t Try) Reason() string { return t.record.Reason }

// GivenBack is the record of a message that is given back in good order; began
// says whether its handler had begun. False means that no record is needed.
func (t Try) GivenBack(began bool) (Record, bool) {
	if t.blind || !began && t.Noted() {
		return Record{}, false // it stays what it was: nothing can have begun without a record
	}
	return t.next(began), true
}

// next is the record of this delivery, without an attempt that counts.
func (t Try) next(began bool) Record {
	r := Record{
		Sequence: t.message.Sequence, Stored: t.message.Stored, Delivered: t.message.Delivered,
		Attempts: t.record.Attempts, Tries: t.record.Tries,
	}
	if began {
		r.Tries = t.Number()
	}
	return r
}
