package aegis

import (
	"encoding/binary"
	"hash/crc32"
	"sync/atomic"

	"github.com/aegisrpc/aegis/runtime/internal/flow"
	"github.com/aegisrpc/aegis/runtime/internal/frame"
)

// Messages that are larger than NATS takes travel in parts, where the method's
// max_message_bytes allows it.

const (
	// leastPart and mostPart bound how much of a message one part carries: on a slow link
	// each part that comes is a sign of life, on a quick one large parts cost less, and
	// several fit into a window, so that they flow.
	leastPart = 64 << 10
	mostPart  = 512 << 10
	// chunkWindow is the window of bytes for methods whose messages may be large.
	chunkWindow     = 8 << 20
	checksumSize    = 4
	defaultAssembly = 256 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// WithReassemblyLimit sets how many bytes of messages that come in parts (those
// of methods with max_message_bytes) a connection may hold at once, over all of
// its streams and calls; what exceeds it ends as CodeResourceExhausted. 1 byte to
// 2^40. Default 256 MiB.
func WithReassemblyLimit(bytes int64) ConnOption {
	return connOption(func(c *connConfig) error {
		if bytes < 1 || bytes > 1<<40 {
			return invalidOption("reassembly limit of %d bytes: use 1 to %d", bytes, int64(1)<<40)
		}
		c.assembly = bytes
		return nil
	})
}

// assembly bounds what a connection holds of messages that are not whole.
type assembly struct {
	limit int64
	held  atomic.Int64
}

// reserve reports whether there was room.
func (a *assembly) reserve(n int) bool {
	if a.held.Add(int64(n)) <= a.limit {
		return true
	}
	a.held.Add(-int64(n))
	return false
}

// windowFor is a window for a method whose messages may have so many bytes.
func windowFor(w flow.Window, maxMessage int) flow.Window {
	if maxMessage > 0 && w == defaultWindow() {
		w.Bytes = chunkWindow
	}
	return w
}

// transmitMessage sends a message whose body is b[frame.MaxOverhead:], in parts
// if it has to be. It writes over b.
func (s *stream) transmitMessage(b []byte) error {
	size := len(b) - frame.MaxOverhead
	if s.maxMessage == 0 {
		return s.transmit(frame.Data, b)
	}
	if size > s.maxMessage {
		return tooLargeFor(s.name, size, s.maxMessage)
	}
	part := int(s.hub.nc.MaxPayload()) - frame.MaxOverhead
	if size <= part {
		return s.transmit(frame.Data, b)
	}
	return s.transmitParts(b, min(part, s.hub.transit.part()))
}

func tooLargeFor(name string, size, most int) *Error {
	return refusal(CodeResourceExhausted, ReasonTooLarge,
		"a message of %s takes %d bytes, and its max_message_bytes is %d", name, size, most)
}

// transmitParts writes the head of each part over the end of the one before,
// which has been sent.
func (s *stream) transmitParts(b []byte, part int) error {
	sum := crc32.Checksum(b[frame.MaxOverhead:], castagnoli)
	at := frame.MaxOverhead
	for len(b)-at > part-checksumSize {
		end := min(at+part, len(b))
		if err := s.transmit(frame.Part, b[at-frame.MaxOverhead:end]); err != nil {
			s.abort(asError(err), 0) // half a message is none
			return err
		}
		at = end
	}
	at -= checksumSize
	binary.BigEndian.PutUint32(b[at:], sum)
	err := s.transmit(frame.Last, b[at-frame.MaxOverhead:])
	if err != nil {
		s.abort(asError(err), 0)
	}
	return err
}

// assemble takes a part of a message; the last one gives the whole.
func (s *stream) assemble(a arrival) (whole []byte, err *Error) {
	size := s.partial + len(a.body)
	if a.kind == frame.Last {
		size -= checksumSize
	}
	switch {
	case s.maxMessage == 0 || a.kind == frame.Last && len(a.body) < checksumSize:
		return nil, s.violation(errOutOfPlace)
	case size > s.maxMessage:
		return nil, tooLargeFor(s.name, size, s.maxMessage)
	case !s.hold(len(a.body)):
		return nil, refusal(CodeResourceExhausted, ReasonTooLarge,
			"a message of %s does not fit beside others that are not whole yet: WithReassemblyLimit is %d bytes", s.name, s.hub.assembly.limit)
	}
	s.parts, s.partial = append(s.parts, a.body), s.partial+len(a.body)
	if a.kind != frame.Last {
		return nil, nil
	}
	sum := binary.BigEndian.Uint32(a.body)
	s.parts[len(s.parts)-1] = a.body[checksumSize:]
	whole = make([]byte, 0, size)
	for _, p := range s.parts {
		whole = append(whole, p...)
	}
	s.releaseParts()
	if crc32.Checksum(whole, castagnoli) != sum {
		return nil, Errorf(CodeDataLoss, "a message of %s has a wrong checksum", s.name)
	}
	return whole, nil
}

// hold reserves memory for a part.
func (s *stream) hold(n int) bool {
	if !s.hub.assembly.reserve(n) {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held += int64(n)
	return true
}

// releaseParts follows when a message is whole, or nobody will read it.
func (s *stream) releaseParts() {
	s.parts, s.partial = nil, 0
	s.mu.Lock()
	defer s.mu.Unlock()
	s.letGo()
}

// letGo gives the memory back that hold took; s.mu is held.
func (s *stream) letGo() {
	s.hub.assembly.held.Add(-s.held)
	s.held = 0
}
