package rpcstream

import "github.com/aegisrpc/aegis/runtime/internal/rpcstream/frame"

// synchronizer is what the hub remembers of a stream from one look at it to the next;
// guarded by Stream.mu.
type synchronizer struct {
	sent        uint64
	received    uint64
	pause, left int  // looks until the next Ping
	inUse       bool // something has come lately, or the stream is new
}

const (
	maxSyncPause = 16 // looks between two Pings for credit, at most
	maxKeptQueue = 64 // arrivals; larger queues are not kept for a quiet stream
)

// synchronize is called every second. If this end has sent messages and is quiet now, a
// Ping asks the other end which message it has received last, and how far this end may
// go: without it nobody would miss a last message that was lost, and a writer would wait
// for a credit that was lost. A stream on which all is well stays silent.
func (s *Stream) synchronize(cameUp bool) {
	s.mu.Lock()
	if s.arrived.idle && len(s.arrived.queue) == 0 && cap(s.arrived.queue)+cap(s.reader.batch) > maxKeptQueue {
		s.arrived.queue, s.reader.batch, s.reader.at = nil, nil, 0
	}
	y := &s.sync
	s.use(!s.end.ended && s.in.Received() != y.received)
	y.received = s.in.Received()
	sent := s.out.Sent()
	wanted := false
	switch {
	case s.to == "" || s.end.ended:
	case sent != y.sent:
		y.sent, y.pause, y.left = sent, 1, 0
	case !s.out.Settled():
		wanted = true
	case !s.out.Ready():
		if y.left--; y.left < 0 {
			wanted = true
			y.pause = min(2*y.pause, maxSyncPause)
			y.left = y.pause
		}
	}
	if cameUp && s.to != "" {
		wanted = true
		s.writable.Broadcast()
	}
	s.mu.Unlock()
	if wanted {
		s.ping()
	}
}

func (s *Stream) ping() {
	s.mu.Lock()
	to, position := s.to, s.position()
	s.mu.Unlock()
	s.tell(frame.Ping, to, s.own, position)
}
