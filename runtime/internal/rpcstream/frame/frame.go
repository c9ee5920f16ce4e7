// Package frame encodes the frames that the two ends of a stream send each other, as
// docs/protocol.md describes them: one byte for the kind, a number in varint encoding, and
// the body.
package frame

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/aegisrpc/aegis/runtime/internal/rpcstream/flow"
)

// Kind is the kind of a frame.
type Kind byte

// The kinds of frames.
const (
	// Ack is the server's answer to the open of a stream. Its body is how far the client
	// may send.
	Ack Kind = iota + 1
	// Header says that the metadata of the server is in the NATS headers.
	Header
	// Data is one message.
	Data
	// Part is a part of a message, and not the last.
	Part
	// Last is the last part of a message, behind the checksum of the whole.
	Last
	// HalfClose says that the client sends no more messages.
	HalfClose
	// End is the last frame of the server. Its body is a google.rpc.Status.
	End
	// Credit says how far the other end may send. Its number is that of the
	// last frame that its sender has sent.
	Credit
	// Ping is a Credit that wants one back.
	Ping
	// Cancel is the last frame of a client, which wants nothing more.
	Cancel

	lastKind = Cancel
)

// Numbered reports whether frames of this kind have a number of their own, one
// more than the numbered frame before.
func (k Kind) Numbered() bool { return k >= Header && k <= End }

// MaxOverhead is how many bytes a frame takes besides its body.
const MaxOverhead = 1 + binary.MaxVarintLen64

// ErrMalformed is wrapped by the errors of Decode and of the other functions that read.
var ErrMalformed = errors.New("malformed frame")

// Frame is one decoded frame.
type Frame struct {
	Kind Kind
	Seq  uint64
	Body []byte
}

// Append appends kind and number; the body follows.
func Append(b []byte, kind Kind, seq uint64) []byte {
	return binary.AppendUvarint(append(b, byte(kind)), seq)
}

// Prefix writes kind and number right before b[MaxOverhead:], where the body
// is, and returns the frame.
func Prefix(b []byte, kind Kind, seq uint64) []byte {
	var head [MaxOverhead]byte
	h := Append(head[:0], kind, seq)
	start := MaxOverhead - len(h)
	copy(b[start:], h)
	return b[start:]
}

// Decode reads a frame. The body stays part of b.
func Decode(b []byte) (Frame, error) {
	if len(b) == 0 {
		return Frame{}, fmt.Errorf("%w: it is empty", ErrMalformed)
	}
	kind := Kind(b[0])
	if kind < Ack || kind > lastKind {
		return Frame{}, fmt.Errorf("%w: there is no kind %d", ErrMalformed, kind)
	}
	seq, n := binary.Uvarint(b[1:])
	if n <= 0 {
		return Frame{}, fmt.Errorf("%w: its number is cut off or too large", ErrMalformed)
	}
	return Frame{Kind: kind, Seq: seq, Body: b[1+n:]}, nil
}

// Position is the body of a Credit and of a Ping; that of an Ack is Limit alone.
type Position struct {
	// Received is the number of the last frame that came from the other end.
	Received uint64
	// Limit is how far the other end may send.
	Limit flow.Limit
}

// AppendLimit appends the body of an Ack.
func AppendLimit(b []byte, l flow.Limit) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(b, l.Seq), l.Bytes)
}

// AppendPosition appends the body of a Credit or a Ping.
func AppendPosition(b []byte, p Position) []byte {
	return AppendLimit(binary.AppendUvarint(b, p.Received), p.Limit)
}

// DecodeLimit reads the body of an Ack. What follows it is ignored.
func DecodeLimit(body []byte) (flow.Limit, error) {
	var l flow.Limit
	err := uvarints(body, &l.Seq, &l.Bytes)
	return l, err
}

// DecodePosition reads the body of a Credit or a Ping. What follows it is
// ignored.
func DecodePosition(body []byte) (Position, error) {
	var p Position
	err := uvarints(body, &p.Received, &p.Limit.Seq, &p.Limit.Bytes)
	return p, err
}

func uvarints(b []byte, to ...*uint64) error {
	for _, v := range to {
		n, used := binary.Uvarint(b)
		if used <= 0 {
			return fmt.Errorf("%w: its credit is cut off or too large", ErrMalformed)
		}
		*v = n
		b = b[used:]
	}
	return nil
}
