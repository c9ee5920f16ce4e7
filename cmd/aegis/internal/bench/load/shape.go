package load

import (
	"math"
	"sort"
	"time"
)

// Never is the start of a call that a shape does not have.
const Never = time.Duration(math.MaxInt64)

// Shape is a rate over time. Call n, from 0 on, starts when the integral of the rate has
// come to n, so that before t as many calls start as the integral says, rounded up.
type Shape interface {
	// Start returns when call n starts, or Never.
	Start(n int64) time.Duration
	// Calls returns the integral of the rate over the time before t.
	Calls(t time.Duration) float64
}

// Constant is calls at one rate.
func Constant(rate float64) Shape { return newLines(line{from: rate, to: rate}) }

// Ramp is a rate that changes evenly, from one value to another, within length, and stays
// there.
func Ramp(from, to float64, length time.Duration) Shape {
	return newLines(line{length: length, from: from, to: to}, line{from: to, to: to})
}

// Spike is a rate that jumps to peak at the time at, for length, and back.
func Spike(rate, peak float64, at, length time.Duration) Shape {
	return newLines(line{length: at, from: rate, to: rate}, line{length: length, from: peak, to: peak}, line{from: rate, to: rate})
}

// line is a part of a shape in which the rate changes evenly. The last line of a shape
// has no end, and its rate is constant.
type line struct {
	length   time.Duration
	from, to float64

	begin  time.Duration
	before float64 // calls of the lines before it
}

type lines []line

func newLines(parts ...line) lines {
	all := make(lines, 0, len(parts))
	var begin time.Duration
	var before float64
	for i, l := range parts {
		last := i == len(parts)-1
		if l.length <= 0 && !last {
			continue
		}
		l.begin, l.before = begin, before
		all = append(all, l)
		if !last {
			before += l.calls(l.length)
			begin += l.length
		}
	}
	return all
}

// calls is the integral over the first d of the line.
func (l *line) calls(d time.Duration) float64 {
	s := d.Seconds()
	return l.from*s + l.slope()*s*s/2
}

// slope is how much the rate grows a second.
func (l *line) slope() float64 {
	if l.from == l.to {
		return 0
	}
	return (l.to - l.from) / l.length.Seconds()
}

// start is when the integral over the line comes to calls.
func (l *line) start(calls float64) time.Duration {
	if calls <= 0 {
		return 0
	}
	// The smaller root of from*s + slope*s²/2 = calls, in the form that loses no digits.
	root := math.Sqrt(max(0, l.from*l.from+2*l.slope()*calls))
	if l.from+root == 0 {
		return Never
	}
	return seconds(2 * calls / (l.from + root))
}

func (s lines) Start(n int64) time.Duration {
	calls := float64(n)
	i := sort.Search(len(s), func(i int) bool { return s[i].before > calls }) - 1
	l := &s[i]
	at := l.start(calls - l.before)
	if at == Never {
		return Never
	}
	return l.begin + at
}

func (s lines) Calls(t time.Duration) float64 {
	i := sort.Search(len(s), func(i int) bool { return s[i].begin > t }) - 1
	if t <= 0 || i < 0 {
		return 0
	}
	return s[i].before + s[i].calls(t-s[i].begin)
}

// Wave is a rate that swings around its mean, from its lowest value at first to its
// highest, mean+swing, in half a period.
func Wave(mean, swing float64, period time.Duration) Shape {
	return wave{mean: mean, swing: min(swing, mean), period: period.Seconds()}
}

type wave struct{ mean, swing, period float64 }

func (w wave) integral(s float64) float64 {
	return w.mean*s - w.swing*w.period/(2*math.Pi)*math.Sin(2*math.Pi*s/w.period)
}

func (w wave) Calls(t time.Duration) float64 { return w.integral(max(0, t.Seconds())) }

// Start halves the time in which the integral comes to n: it never falls, and differs from
// that of the mean by less than the calls of a period.
func (w wave) Start(n int64) time.Duration {
	calls := float64(n)
	low := max(0, calls/w.mean-w.period)
	high := calls/w.mean + w.period
	for high-low > 0.5e-9 {
		mid := (low + high) / 2
		if mid == low || mid == high {
			break
		}
		if w.integral(mid) < calls {
			low = mid
		} else {
			high = mid
		}
	}
	if calls == 0 {
		return 0
	}
	return seconds(high)
}

// Burst is size calls at once, and again after each interval.
func Burst(size int64, every time.Duration) Shape { return burst{size: size, every: every} }

type burst struct {
	size  int64
	every time.Duration
}

func (b burst) Start(n int64) time.Duration { return time.Duration(n/b.size) * b.every }

func (b burst) Calls(t time.Duration) float64 {
	if t <= 0 {
		return 0
	}
	return float64(b.size) * math.Ceil(float64(t)/float64(b.every))
}

// seconds is a duration of s seconds, or Never if there is none as long.
func seconds(s float64) time.Duration {
	ns := math.Round(s * 1e9)
	if ns >= float64(math.MaxInt64) {
		return Never
	}
	return time.Duration(ns)
}
