package board

import (
	"time"

	"github.com/aegisrpc/aegis/runtime/aegisadmin"
)

const (
	paceOver = time.Minute     // what the rates of durable work are of
	paceStep = 2 * time.Second // at most one reading in that time is kept
)

// pace is how fast durable work is done, from readings of the last minute.
type pace struct {
	readings []workCounts // the oldest first
}

// workCounts are the counts of the consumers of a queue or a subscription at one time.
type workCounts struct {
	at         time.Time
	known      bool   // there are consumers
	deliveries uint64 // all of them since the consumers were made
	underWay   uint64
	requests   int
	held       uint64 // commands that wait or are under way
	// stored is the last sequence of the stream, if only one method's commands are in it.
	stored      uint64
	storedKnown bool
}

func countsOf(now time.Time, w *aegisadmin.Work) workCounts {
	r := workCounts{at: now}
	if w == nil {
		return r
	}
	r.known = len(w.Consumers) > 0
	for _, c := range w.Consumers {
		r.deliveries += c.Deliveries
		r.underWay += uint64(max(c.UnderWay, 0))
		r.requests += max(c.Requests, 0)
	}
	return r
}

// add takes in a reading. What was read before counts that have become less is forgotten:
// the consumers or the stream were made anew.
func (p *pace) add(r workCounts) {
	if n := len(p.readings); n > 0 {
		last := p.readings[n-1]
		switch {
		case r.deliveries < last.deliveries || r.stored < last.stored || r.known != last.known || r.storedKnown != last.storedKnown:
			p.readings = p.readings[:0]
		case r.at.Sub(last.at) < paceStep && n > 1:
			p.readings = p.readings[:n-1]
		}
	}
	old := 0
	for old+1 < len(p.readings) && r.at.Sub(p.readings[old+1].at) >= paceOver {
		old++
	}
	p.readings = append(p.readings[:0], p.readings[old:]...)
	p.readings = append(p.readings, r)
}

// rates returns how many commands or events were stored and done in a second; nil for what
// is not known. A delivery that has ended is done, also if the handler failed and there will
// be another one.
func (p *pace) rates() (added, done *float64) {
	if len(p.readings) < 2 {
		return nil, nil
	}
	first, last := p.readings[0], p.readings[len(p.readings)-1]
	seconds := last.at.Sub(first.at).Seconds()
	if seconds < 1 {
		return nil, nil
	}
	per := func(n float64) *float64 { return known(max(n, 0) / seconds) }
	if last.storedKnown {
		stored := float64(last.stored - first.stored)
		return per(stored), per(stored - (float64(last.held) - float64(first.held)))
	}
	if last.known {
		return nil, per(float64(last.deliveries-first.deliveries) - (float64(last.underWay) - float64(first.underWay)))
	}
	return nil, nil
}
