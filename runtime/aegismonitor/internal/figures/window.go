package figures

import "time"

// Window has what has happened in the last seconds. The zero Window is empty.
type Window struct {
	parts [6]struct {
		number int64
		sum    Sum
	}
}

// part is the length of a part of a window.
const part = 2 * time.Second

// Add adds what has happened just before now.
func (w *Window) Add(now time.Time, d *Delta) {
	number := now.UnixNano() / int64(part)
	if number <= 0 {
		return
	}
	at := &w.parts[number%int64(len(w.parts))]
	if at.number != number {
		at.number, at.sum = number, Sum{}
	}
	at.sum.Add(d)
}

// Sum returns what has happened in the last so many seconds, to a part of 2 s.
func (w *Window) Sum(now time.Time, over time.Duration) *Sum {
	var sum Sum
	last := now.UnixNano() / int64(part)
	first := last - int64((over+part-1)/part)
	for i := range w.parts {
		if at := &w.parts[i]; at.number > first && at.number <= last {
			sum.Merge(&at.sum)
		}
	}
	return &sum
}
