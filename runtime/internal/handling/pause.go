package handling

import (
	"strconv"
	"sync/atomic"
	"time"
)

// TickInterval is the time between two calls of Ticked while there are requests.
const TickInterval = 100 * time.Millisecond

const (
	// restInterval is the same while there are none. It is less than the lateness that is
	// taken for a pause, which begins just as early.
	restInterval = 250 * time.Millisecond
	// restsAfter is how long there were no requests then.
	restsAfter = 10 * time.Second
)

// TickLateness is how much later a tick may come before that is taken for a pause.
const TickLateness = 400 * time.Millisecond

// lateness is TickLateness, but in tests.
var lateness = TickLateness

// SetLateness puts another duration in the place of TickLateness. It is for tests, before
// any server is made: a process that gets no processor for half a second because others are
// tested beside it has not been paused.
func SetLateness(d time.Duration) { lateness = d }

// PauseDetector notices that the process did not run for a while (SIGSTOP, a
// suspended machine, starvation). The messages that then wait in its socket are of unknown
// age, until a message that the process sent to itself after the pause comes
// back: NATS delivers in order, so all messages behind it are new.
type PauseDetector struct {
	epoch   time.Time
	tick    atomic.Int64  // when Ticked was called last, in ns since epoch
	suspect atomic.Bool   // the messages that arrive are of unknown age
	sent    atomic.Uint64 // the number of the last message to the process itself
	back    atomic.Uint64 // the number of the last one that came back
	asked   atomic.Bool   // Stale was called since the last call of Next

	// These belong to the goroutine that calls Ticked.
	ticks   int           // since the last message was sent
	settled bool          // a tick has seen that the message is back
	quiet   time.Duration // for how long nobody has called Stale
}

// Start begins with a first tick.
func (p *PauseDetector) Start(now time.Time) { p.epoch = now }

// Stale reports whether a request that a worker looks at now is of unknown age. It
// notices a pause even if that has ended before the next tick.
func (p *PauseDetector) Stale(now time.Time) bool {
	if !p.asked.Load() { // else this would be a write for each request
		p.asked.Store(true)
	}
	return p.suspect.Load() || now.Sub(p.epoch)-time.Duration(p.tick.Load()) > TickInterval+lateness
}

// Next returns the time from a call of Ticked to the next one.
func (p *PauseDetector) Next() time.Duration {
	switch {
	case p.asked.Swap(false) || p.suspect.Load():
		p.quiet = 0
	case p.quiet >= restsAfter:
		return restInterval
	}
	p.quiet += TickInterval
	return TickInterval
}

// Ticked is called by one goroutine, as often as Next says. It returns the payload of a
// message that the process has to send to itself, or nil.
func (p *PauseDetector) Ticked(now time.Time) []byte {
	since := now.Sub(p.epoch)
	late := since-time.Duration(p.tick.Load()) > TickInterval+lateness
	if late {
		p.suspect.Store(true) // before the tick, or a request slips through in between
	}
	p.tick.Store(int64(since))
	if late {
		return p.next()
	}
	if !p.suspect.Load() {
		return nil
	}
	// A worker may have taken a request off the queue before the message to the process
	// itself, and look at the request only now. It gets the time of a tick for that.
	if p.back.Load() == p.sent.Load() {
		p.suspect.Store(!p.settled)
		p.settled = true
		return nil
	}
	if p.ticks++; p.ticks%10 == 0 { // the message was lost with a connection
		return p.next()
	}
	return nil
}

// next returns the payload of the next message to the process itself.
func (p *PauseDetector) next() []byte {
	p.ticks, p.settled = 0, false
	return strconv.AppendUint(nil, p.sent.Add(1), 10)
}

// Returned takes the payload of a message to the process itself that has come back.
func (p *PauseDetector) Returned(payload []byte) {
	if n, err := strconv.ParseUint(string(payload), 10, 64); err == nil && n <= p.sent.Load() {
		p.back.Store(n)
	}
}

// Suspect makes the detector take all messages that arrive for old, or for new again.
// Tests call it in place of a pause.
func (p *PauseDetector) Suspect(suspect bool) {
	if suspect {
		p.sent.Add(1) // a message that never comes back
	} else {
		p.back.Store(p.sent.Load())
	}
	p.suspect.Store(suspect)
}
