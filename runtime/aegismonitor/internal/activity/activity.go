// Package activity has the events of the last hour, as many as there is room for. It reads
// no clock, and is not safe for concurrent use.
package activity

import (
	"time"

	"github.com/aegisrpc/aegis/internal/monitorapi"
)

const (
	// Room is how many events are kept.
	Room = 5000
	// Kept is for how long an event is kept.
	Kept = time.Hour

	minutes = int64(Kept / time.Minute)
)

// Log is the events of the last hour. The zero Log is empty.
type Log struct {
	events  []monitorapi.Event // a ring; grows up to Room
	oldest  int                // its index
	count   int
	last    uint64 // the id of the last event
	dropped [minutes + 1]drops
}

// drops counts the events of a minute that are forgotten for want of room.
type drops struct {
	minute int64
	n      uint64
}

// Add adds an event of now, and gives it its time and number.
func (l *Log) Add(now time.Time, e monitorapi.Event) {
	l.last++
	e.ID, e.At = l.last, now
	switch {
	case l.count < len(l.events):
		l.events[(l.oldest+l.count)%len(l.events)] = e
		l.count++
	case len(l.events) < Room:
		l.grow()
		l.events = append(l.events, e)
		l.count++
	default:
		l.drop(l.events[l.oldest].At)
		l.events[l.oldest] = e
		l.oldest = (l.oldest + 1) % len(l.events)
	}
}

// grow puts the ring in order, so that there is room behind its last event.
func (l *Log) grow() {
	if l.oldest == 0 {
		return
	}
	ordered := make([]monitorapi.Event, 0, len(l.events)+1)
	ordered = append(ordered, l.events[l.oldest:]...)
	l.events, l.oldest = append(ordered, l.events[:l.oldest]...), 0
}

func (l *Log) drop(at time.Time) {
	minute := at.Unix() / 60
	d := &l.dropped[max(minute, 0)%int64(len(l.dropped))]
	if d.minute != minute {
		*d = drops{minute: minute}
	}
	d.n++
}

// Forget forgets what is older than an hour.
func (l *Log) Forget(now time.Time) {
	for l.count > 0 && now.Sub(l.events[l.oldest].At) > Kept {
		l.events[l.oldest] = monitorapi.Event{}
		l.oldest = (l.oldest + 1) % len(l.events)
		l.count--
	}
}

// Events returns the events, the latest first.
func (l *Log) Events() []monitorapi.Event {
	list := make([]monitorapi.Event, l.count)
	for i := range list {
		list[i] = l.events[(l.oldest+l.count-1-i)%len(l.events)]
	}
	return list
}

// Dropped returns how many events of the last hour are forgotten for want of room.
func (l *Log) Dropped(now time.Time) (n uint64) {
	first := now.Unix()/60 - minutes
	for _, d := range l.dropped {
		if d.minute > first {
			n += d.n
		}
	}
	return n
}
