package aegis

import (
	"strconv"
	"sync/atomic"
	"time"
)

const (
	tickInterval = 100 * time.Millisecond
	tickLateness = 400 * time.Millisecond
)

// pauseDetector notices that the process did not run for a while (SIGSTOP, a
// suspended machine, starvation). What then waits in its socket is of unknown
// age, until a message that the process sent to itself after the pause comes
// back: NATS delivers in order, so everything behind it is new.
type pauseDetector struct {
	epoch time.Time
	tick  atomic.Int64 // ns since epoch
	// suspect: what arrives is of unknown age.
	suspect atomic.Bool
	sent    atomic.Uint64 // the number of the last message to oneself
	back    atomic.Uint64 // the last one that came back
	ticks   int           // since the message was sent
	settled bool          // a tick has seen it back
}

func (p *pauseDetector) init(now time.Time) { p.epoch = now }

// stale reports whether a request that is looked at now is of unknown age. It
// does not rely on the ticker having noticed the pause first.
func (p *pauseDetector) stale(now time.Time) bool {
	return p.suspect.Load() || now.Sub(p.epoch)-time.Duration(p.tick.Load()) > tickInterval+tickLateness
}

// ticked is called every 100 ms by one goroutine. It returns the payload of a
// message to send to oneself, or nil.
func (p *pauseDetector) ticked(now time.Time) []byte {
	since := now.Sub(p.epoch)
	late := since-time.Duration(p.tick.Load()) > tickInterval+tickLateness
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

func (p *pauseDetector) next() []byte {
	p.ticks, p.settled = 0, false
	return strconv.AppendUint(nil, p.sent.Add(1), 10)
}

// returned takes a message to oneself that has come back.
func (p *pauseDetector) returned(payload []byte) {
	if n, err := strconv.ParseUint(string(payload), 10, 64); err == nil && n <= p.sent.Load() {
		p.back.Store(n)
	}
}
