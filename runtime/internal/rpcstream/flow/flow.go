// Package flow has the rules of one direction of a stream: how much may be sent, and
// whether the frames that come are those that were sent. It knows neither the encoding of
// frames nor NATS, and its types are not safe for concurrent use.
//
// Frames are numbered from 1 on, without gaps. The receiver allows how many
// frames and how many bytes may be sent in all, counted from the beginning of
// the stream, so that an allowance that is lost, repeated or overtaken by a later
// one does no harm.
package flow

import (
	"errors"
	"fmt"
)

// The ways in which an end can break the rules.
var (
	ErrGap       = errors.New("frames are missing")
	ErrDuplicate = errors.New("a frame came twice")
	ErrWindow    = errors.New("a frame exceeds the credit")
	ErrAfterEnd  = errors.New("a frame came after the end")
	ErrCredit    = errors.New("a credit makes no sense")
)

// MaxLimit bounds both parts of a Limit; no stream gets that far.
const MaxLimit = 1 << 53

// Window is how much of a stream may be on its way or unread.
type Window struct {
	Messages, Bytes uint64
}

// Limit is how far the sender may go, counted from the beginning: a frame may be
// sent while its number is at most Seq and those before it have less than Bytes
// in their bodies. So one frame may go beyond Bytes, and none is too large to be
// sent ever.
type Limit struct {
	Seq, Bytes uint64
}

// Out is the sender's end of a direction.
type Out struct {
	sent  uint64 // the number of the last frame
	bytes uint64 // of the bodies of all frames
	acked uint64 // the number of the last frame that is known to have come
	limit Limit
}

// NewOut returns the state before the first frame.
func NewOut(limit Limit) Out {
	return Out{limit: Limit{min(limit.Seq, MaxLimit), min(limit.Bytes, MaxLimit)}}
}

// Ready reports whether another frame may be sent.
func (o *Out) Ready() bool { return o.sent < o.limit.Seq && o.bytes < o.limit.Bytes }

// Next counts a frame with a body of this size and returns its number. Frames
// that are not messages need not wait until it is Ready.
func (o *Out) Next(size int) uint64 {
	o.sent++
	o.bytes += uint64(size)
	return o.sent
}

// Undo takes the last Next back, of a frame that could not be sent.
func (o *Out) Undo(size int) {
	o.sent--
	o.bytes -= uint64(size)
}

// Sent returns the number of the last frame.
func (o *Out) Sent() uint64 { return o.sent }

// Settled reports whether all frames are known to have come.
func (o *Out) Settled() bool { return o.acked == o.sent }

// Credit takes the word of the receiver: the number of the last frame that came, and how
// far to go. An older word than the last one changes nothing.
func (o *Out) Credit(received uint64, limit Limit) error {
	switch {
	case received > o.sent:
		return fmt.Errorf("%w: it confirms frame %d, and %d have been sent", ErrCredit, received, o.sent)
	case limit.Seq > MaxLimit || limit.Bytes > MaxLimit:
		return fmt.Errorf("%w: it allows %d frames and %d bytes", ErrCredit, limit.Seq, limit.Bytes)
	}
	o.acked = max(o.acked, received)
	o.limit.Seq = max(o.limit.Seq, limit.Seq)
	o.limit.Bytes = max(o.limit.Bytes, limit.Bytes)
	return nil
}

// In is the receiver's end of a direction.
type In struct {
	window   Window
	received uint64
	bytes    uint64
	limit    Limit
	closed   bool
}

// NewIn returns the state before the first frame. The sender has to be told its Limit.
func NewIn(w Window) In {
	return In{window: w, limit: Limit{Seq: w.Messages, Bytes: w.Bytes}}
}

// Take takes a frame with a body of this size. The error says how it breaks the rules.
func (in *In) Take(seq uint64, size int) error {
	if err := in.inOrder(seq); err != nil {
		return err
	}
	if seq > in.limit.Seq || in.bytes >= in.limit.Bytes {
		return fmt.Errorf("%w: %d frames with %d bytes are allowed, and number %d follows %d bytes",
			ErrWindow, in.limit.Seq, in.limit.Bytes, seq, in.bytes)
	}
	in.received = seq
	in.bytes += uint64(size)
	return nil
}

// Close takes the last frame of the direction, which needs no credit. It may come again,
// which does no harm; first says that it has not come before.
func (in *In) Close(seq uint64) (first bool, err error) {
	if in.closed && seq == in.received {
		return false, nil
	}
	if err := in.inOrder(seq); err != nil {
		return false, err
	}
	in.received, in.closed = seq, true
	return true, nil
}

// inOrder returns why a frame is not the next one.
func (in *In) inOrder(seq uint64) error {
	switch {
	case seq <= in.received:
		return fmt.Errorf("%w: number %d, after %d", ErrDuplicate, seq, in.received)
	case in.closed:
		return fmt.Errorf("%w: number %d, the end was %d", ErrAfterEnd, seq, in.received)
	case seq > in.received+1:
		return fmt.Errorf("%w: number %d came after %d", ErrGap, seq, in.received)
	}
	return nil
}

// Check returns an error if frames are missing. The sender says, after it has sent them,
// which frame was the last one.
func (in *In) Check(sent uint64) error {
	if sent > in.received {
		return fmt.Errorf("%w: %d were sent, and %d came", ErrGap, sent, in.received)
	}
	return nil
}

// Received returns the number of the last frame that has come.
func (in *In) Received() uint64 { return in.received }

// Closed reports whether the last frame of the direction has come.
func (in *In) Closed() bool { return in.closed }

// Limit returns how far the sender may go.
func (in *In) Limit() Limit { return in.limit }

// Due returns how much has to be consumed before the sender is given more: a quarter of
// the window, so that it seldom has to wait.
func (in *In) Due() Limit {
	return Limit{Seq: in.limit.Seq - in.window.Messages + in.window.Messages/4, Bytes: in.limit.Bytes - in.window.Bytes + in.window.Bytes/4}
}

// Resize sets the bytes of the window for all that the sender is allowed from now
// on. A Grant has to follow.
func (in *In) Resize(bytes uint64) { in.window.Bytes = bytes }

// Grant allows the sender a whole window beyond the frames that are consumed. The Limit
// never goes back.
func (in *In) Grant(consumed Limit) {
	in.limit.Seq = max(in.limit.Seq, consumed.Seq+in.window.Messages)
	in.limit.Bytes = max(in.limit.Bytes, consumed.Bytes+in.window.Bytes)
}

// Reaches reports whether either part of l has come as far as that of other.
func (l Limit) Reaches(other Limit) bool { return l.Seq >= other.Seq || l.Bytes >= other.Bytes }
