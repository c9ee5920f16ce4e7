package rpcstream

import (
	"encoding/binary"
	"hash/crc32"
	"sync/atomic"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/rpcstream/frame"
	"github.com/aegisrpc/aegis/runtime/internal/status"
)

// Messages that are larger than NATS takes travel in parts, where the method's
// max_message_bytes allows it.

const (
	// leastPart and mostPart bound how much of a message one part carries: on a slow link
	// each part that comes is a sign of life, on a quick one large parts cost less, and
	// several fit into a window, so that they flow.
	leastPart    = 64 << 10
	mostPart     = 512 << 10
	checksumSize = 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Assembly bounds the memory for messages of a connection that are not whole. It is safe
// for concurrent use.
type Assembly struct {
	Limit int64 // bytes
	held  atomic.Int64
}

// reserve reports whether there was room.
func (a *Assembly) reserve(n int) bool {
	if a.held.Add(int64(n)) <= a.Limit {
		return true
	}
	a.held.Add(-int64(n))
	return false
}

// Send sends a message whose body is b[frame.MaxOverhead:] as soon as there is credit, in
// parts if it is too large for one message of NATS. It writes over b. EOF says that the
// other end has ended the stream.
func (s *Stream) Send(b []byte) *status.Status {
	size := len(b) - frame.MaxOverhead
	if s.MaxMessage == 0 {
		return s.transmit(frame.Data, b)
	}
	if size > s.MaxMessage {
		return TooLargeFor(s.Name, size, s.MaxMessage)
	}
	part := int(s.hub.nc.MaxPayload()) - frame.MaxOverhead
	if size <= part {
		return s.transmit(frame.Data, b)
	}
	return s.sendParts(b, min(part, s.hub.transit.part()))
}

// TooLargeFor is the status of a message that exceeds its method's max_message_bytes.
func TooLargeFor(name string, size, most int) *status.Status {
	return status.Refusal(status.ResourceExhausted, wire.ReasonTooLarge,
		"a message of %s takes %d bytes, and its max_message_bytes is %d", name, size, most)
}

// sendParts writes the head of each part over the end of the part before, which has been
// sent.
func (s *Stream) sendParts(b []byte, part int) *status.Status {
	sum := crc32.Checksum(b[frame.MaxOverhead:], castagnoli)
	at := frame.MaxOverhead
	for len(b)-at > part-checksumSize {
		end := min(at+part, len(b))
		if why := s.transmit(frame.Part, b[at-frame.MaxOverhead:end]); why != nil {
			s.halved(why)
			return why
		}
		at = end
	}
	at -= checksumSize
	binary.BigEndian.PutUint32(b[at:], sum)
	why := s.transmit(frame.Last, b[at-frame.MaxOverhead:])
	if why != nil {
		s.halved(why)
	}
	return why
}

// halved ends a stream in which only a part of a message could be sent.
func (s *Stream) halved(why *status.Status) {
	if why != EOF { // else the other end has ended it
		s.Abort(why, 0)
	}
}

// assemble takes a part of a message, and returns the whole message with the last part.
func (s *Stream) assemble(a arrival) (whole []byte, why *status.Status) {
	size := s.reader.partial + len(a.body)
	if a.kind == frame.Last {
		size -= checksumSize
	}
	switch {
	case s.MaxMessage == 0 || a.kind == frame.Last && len(a.body) < checksumSize:
		return nil, s.violation(errOutOfPlace)
	case size > s.MaxMessage:
		return nil, TooLargeFor(s.Name, size, s.MaxMessage)
	case !s.hold(len(a.body)):
		return nil, status.Refusal(status.ResourceExhausted, wire.ReasonTooLarge,
			"a message of %s does not fit beside others that are not whole yet: WithReassemblyLimit is %d bytes", s.Name, s.hub.assembly.Limit)
	}
	s.reader.parts, s.reader.partial = append(s.reader.parts, a.body), s.reader.partial+len(a.body)
	if a.kind != frame.Last {
		return nil, nil
	}
	sum := binary.BigEndian.Uint32(a.body)
	s.reader.parts[len(s.reader.parts)-1] = a.body[checksumSize:]
	whole = make([]byte, 0, size)
	for _, p := range s.reader.parts {
		whole = append(whole, p...)
	}
	s.releaseParts()
	if crc32.Checksum(whole, castagnoli) != sum {
		return nil, status.Newf(status.DataLoss, "a message of %s has a wrong checksum", s.Name)
	}
	return whole, nil
}

// hold reserves memory for a part.
func (s *Stream) hold(n int) bool {
	if !s.hub.assembly.reserve(n) {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.arrived.held += int64(n)
	return true
}

// releaseParts follows when a message is whole, or will not be read.
func (s *Stream) releaseParts() {
	s.reader.parts, s.reader.partial = nil, 0
	s.mu.Lock()
	defer s.mu.Unlock()
	s.letGo()
}

// letGo gives back the memory that hold has reserved; s.mu is held.
func (s *Stream) letGo() {
	s.hub.assembly.held.Add(-s.arrived.held)
	s.arrived.held = 0
}
