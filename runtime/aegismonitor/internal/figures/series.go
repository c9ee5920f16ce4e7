package figures

import (
	"encoding/binary"
	"time"
)

const (
	// Step is the length of a step of the history.
	Step = 10 * time.Second
	// Steps is how many steps an hour has.
	Steps = int(time.Hour / Step)
)

// Series is the history of an hour, in steps. The zero Series is empty. What is old is
// overwritten, so that its memory is bounded: about 12 kB, and 50 bytes for each step with
// requests.
type Series struct {
	slots []slot // a ring, by the number of the step; made at the first point
	open  open   // the step of now, which is added to
}

// open is a step that is not over.
type open struct {
	step  int64 // the number of the step since 1970; 0 for none
	over  time.Duration
	rates float64 // the sum of rate times time
	sum   Sum
}

// slot is a step that is over. Thousands of series have 360 each, so it is small.
type slot struct {
	step             int32
	perSecond        float32
	requests, errors uint32
	latencies        string // packed
}

// Point is one step of a series.
type Point struct {
	Sum

	// Known: something was read in this step. The other fields are 0 if not.
	Known     bool
	PerSecond float64
}

// Add adds what was read at now: the rate of the time before it, and what has happened in it.
func (s *Series) Add(now time.Time, over time.Duration, perSecond float64, sum *Sum) {
	step := StepOf(now)
	if over <= 0 || step < s.open.step || step <= 0 {
		return // there is no time between, or the clock was set back
	}
	if step > s.open.step {
		s.close()
		s.open = open{step: step}
	}
	s.open.over += over
	s.open.rates += perSecond * over.Seconds()
	s.open.sum.Merge(sum)
}

// StepOf returns the number of the step of a time.
func StepOf(t time.Time) int64 { return t.UnixNano() / int64(Step) }

// close puts the step that is open among those that are over.
func (s *Series) close() {
	if s.open.step == 0 {
		return
	}
	if s.slots == nil {
		s.slots = make([]slot, Steps)
	}
	o := &s.open
	s.slots[o.step%int64(Steps)] = slot{
		step: int32(o.step), perSecond: float32(o.perSecond()),
		requests: clamp(o.sum.Requests), errors: clamp(o.sum.Errors), latencies: o.sum.Latencies.pack(),
	}
}

func (o *open) perSecond() float64 { return o.rates / o.over.Seconds() }

// clamp keeps what is absurd from being wrapped around.
func clamp(n uint64) uint32 { return uint32(min(n, 1<<32-1)) }

// pack returns the counts that are not 0, each as its step and its number.
func (l *Latencies) pack() string {
	var data []byte
	for step, n := range l {
		if n > 0 {
			data = binary.AppendUvarint(append(data, byte(step)), n)
		}
	}
	return string(data)
}

func (l *Latencies) unpack(packed string) {
	*l = Latencies{}
	for data := []byte(packed); len(data) > 1; {
		n, size := binary.Uvarint(data[1:])
		l[data[0]] = n
		data = data[1+size:]
	}
}

// Walk calls f with each of the last n steps that end with the one of now, the oldest first.
// The point is valid until f returns.
func (s *Series) Walk(now time.Time, n int, f func(i int, p *Point)) {
	n = min(max(n, 0), Steps)
	first := StepOf(now) - int64(n) + 1
	var p Point
	for i := range n {
		s.fill(&p, first+int64(i))
		f(i, &p)
	}
}

func (s *Series) fill(p *Point, step int64) {
	if o := &s.open; o.step == step && step > 0 {
		*p = Point{Known: true, PerSecond: o.perSecond(), Sum: o.sum}
		return
	}
	x := s.at(step)
	if x == nil {
		*p = Point{}
		return
	}
	p.Known, p.PerSecond, p.Requests, p.Errors = true, float64(x.perSecond), uint64(x.requests), uint64(x.errors)
	p.Latencies.unpack(x.latencies)
}

func (s *Series) at(step int64) *slot {
	if s.slots == nil || step <= 0 {
		return nil
	}
	if x := &s.slots[step%int64(Steps)]; int64(x.step) == step {
		return x
	}
	return nil
}

// Hour returns the rate of each minute of the hour that ends with the one of now, the oldest
// first; nil where it is not known.
func (s *Series) Hour(now time.Time) []*float64 {
	const perMinute = int64(time.Minute / Step)
	hour := make([]*float64, Minutes)
	values := make([]float64, Minutes)
	first := (minuteOf(now) - Minutes + 1) * perMinute
	for i := range hour {
		sum, known := 0.0, 0
		for k := range perMinute {
			if rate, ok := s.rate(first + int64(i)*perMinute + k); ok {
				sum += rate
				known++
			}
		}
		if known > 0 {
			values[i] = Rounded(sum/float64(known), sparkDigits)
			hour[i] = &values[i]
		}
	}
	return hour
}

func (s *Series) rate(step int64) (float64, bool) {
	if s.open.step == step && step > 0 {
		return s.open.perSecond(), true
	}
	if x := s.at(step); x != nil {
		return float64(x.perSecond), true
	}
	return 0, false
}
