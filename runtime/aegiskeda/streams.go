package aegiskeda

import (
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/aegisrpc/aegis/runtime/internal/jserror"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

// A stream that was there is believed to be gone when JetStream has said so for missedFor, and
// nothing else: a server that has just started may not know yet what it has. A stream
// that was not asked for during missedAnew is counted anew.
const (
	missedFor  = 30 * time.Second
	missedAnew = 2 * time.Minute
)

// streams remembers which streams were there.
type streams struct {
	mu      sync.Mutex         // guards what follows
	seen    map[string]bool    // by the name of the stream
	missing map[string]missing // of those that were seen
}

// missing is since when a stream is not found, and when that was last so.
type missing struct {
	since, last time.Time
}

// found notes that a stream is there.
func (s *streams) found(stream string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen[stream] = true
	delete(s.missing, stream)
}

// judge returns the error of a look at a stream; nil if the stream does not exist, and has
// nothing therefore.
func (s *streams) judge(stream string, err error, now time.Time) error {
	if jserror.Code(err) != jetstream.JSErrCodeStreamNotFound {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.seen[stream] {
		return nil
	}
	m, ok := s.missing[stream]
	if !ok || now.Sub(m.last) > missedAnew {
		m.since = now
	}
	m.last = now
	s.missing[stream] = m
	if now.Sub(m.since) >= missedFor {
		delete(s.seen, stream)
		delete(s.missing, stream)
		return nil
	}
	return fmt.Errorf("%w: it was there, and is not found now; if that goes on for %v, it is believed: %w", stores.ErrUnavailable, missedFor, err)
}
