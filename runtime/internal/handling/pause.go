package handling

import (
	"strconv"
	"sync/atomic"
	"time"
)

// TickInterval is the time between two calls of Ticked.
const TickInterval = 100 * time.Millisecond

const tickLateness = 400 * time.Millisecond

// PauseDetector notices that the process did not run for a while (SIGSTOP, a
// suspended machine, starvation). What then waits in its socket is of unknown
// age, until a message that the process sent to itself after the pause comes
// back: NATS delivers in order, so everything behind it is new.
type PauseDetector struct {
	epoch time.Time
	tick  atomic.Int64 // ns since epoch
	// suspect: what arrives is of unknown age.
	suspect atomic.Bool
	sent    atomic.Uint64 // the number of the last message to oneself
	back    atomic.Uint64 // the last one that came back
	ticks   int           // since the message was sent
	settled bool          // a tick has seen it back
}

// Start begins at a time.
func (p *PauseDetector) Start(now time.Time) { p.epoch = now }

// Stale reports whether a request that is looked at now is of unknown age. It
// does not rely on the ticker having noticed the pause first.
func (p *PauseDetector) Stale(now time.Time) bool {
	return p.suspect.Load() || now.Sub(p.epoch)-time.Duration(p.tick.Load()) > TickInterval+tickLateness
}

// Ticked is called every 100 ms by one goroutine. It returns the payload of a
// message to send to oneself, or nil.
func (p *PauseDetector) Ticked(now time.Time) []byte {
	since := now.Sub(p.epoch)
	late := since-time.Duration(p.tick.Load()) > TickInterval+tickLateness
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
	// A worker may have taken a request off the queue before the message to
	// oneself and look at it only now; it gets a tick's time for that.
	if p.back.Load() == p.sent.Load() {
		p.suspect.Store(!p.settled)
		p.settled = true
		return nil
	}
	if p.ticks++; p.ticks%10 == 0 { // lost with a connection
		return p.next()
	}
	return nil
}

func (p *PauseDetector) next() []byte {
	p.ticks, p.settled = 0, false
	return strconv.AppendUint(nil, p.sent.Add(1), 10)
}

// Returned takes a message to oneself that has come back.
func (p *PauseDetector) Returned(payload []byte) {
	if n, err := strconv.ParseUint(string(payload), 10, 64); err == nil && n <= p.sent.Load() {
		p.back.Store(n)
	}
}

// Suspect makes the detector take all that arrives for old, or for new again: tests call
// it in place of a pause.
func (p *PauseDetector) Suspect(suspect bool) {
	if suspect {
		p.sent.Add(1) // a message to itself that never comes back
	} else {
		p.back.Store(p.sent.Load())
	}
	p.suspect.Store(suspect)
}
