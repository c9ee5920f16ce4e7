package aegis

import (
	"strconv"
	"sync/atomic"
	"time"

	"github.com/aegisrpc/aegis/runtime/internal/micro"
)

// methodStats counts the calls of a method that were handled. It is written with
// each call: three atomic additions.
type methodStats struct {
	requests, errors atomic.Int64
	nanos            atomic.Int64
	lastError        atomic.Pointer[string]
}

// done counts a call; err is nil for a response.
func (s *methodStats) done(took time.Duration, err *Error) {
	s.requests.Add(1)
	s.nanos.Add(int64(took))
	if err != nil {
		s.errors.Add(1)
		text := strconv.Itoa(int(err.code)) + ":" + headerText(err.message)
		s.lastError.Store(&text)
	}
}

func (s *methodStats) read() micro.Stats {
	stats := micro.Stats{Requests: s.requests.Load(), Errors: s.errors.Load(), Processing: time.Duration(s.nanos.Load())}
	if last := s.lastError.Load(); last != nil {
		stats.LastError = *last
	}
	return stats
}
