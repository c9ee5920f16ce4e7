package spec

import (
	"fmt"
	"math"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
)

// span is a range of durations, with both ends.
type span struct {
	least, most time.Duration
}

const day = 24 * time.Hour

// The ranges, as options.proto documents them.
var (
	timeoutRange        = span{time.Millisecond, day}
	initialBackoffRange = span{time.Millisecond, time.Hour}
	maxBackoffRange     = span{time.Millisecond, day}
	ackWaitRange        = span{time.Second, time.Hour}
	resultTTLRange      = span{time.Second, 365 * day}
	leaseRange          = span{500 * time.Millisecond, time.Minute}
	maxAgeRange         = span{time.Second, 100 * 365 * day}
	dedupeWindowRange   = span{time.Second, day}
)

// duration checks a duration and returns it. In place of one that is missing or wrong it
// returns the default, so that later checks do not report the same mistake again.
func (c *checker) duration(at Place, d *durationpb.Duration, in span, byDefault time.Duration) time.Duration {
	if d == nil {
		return byDefault
	}
	if why := invalid(d); why != "" {
		c.addf(at, "{seconds: %d, nanos: %d} is no duration, as %s; write %s", d.GetSeconds(), d.GetNanos(), why, in)
		return byDefault
	}
	// A protobuf Duration can be longer than a Go one. AsDuration then returns the
	// longest Go one, which is out of every range.
	if d.AsDuration() < in.least || d.AsDuration() > in.most {
		c.addf(at, "%s is out of range; write %s", describe(d), in)
		return byDefault
	}
	if d.AsDuration()%time.Millisecond != 0 {
		c.addf(at, "%s is not a whole number of milliseconds; write %s", describe(d), in)
		return byDefault
	}
	return d.AsDuration()
}

// invalid says which rule of google.protobuf.Duration d breaks; "" for none.
func invalid(d *durationpb.Duration) string {
	const maxSeconds = 315_576_000_000
	seconds, nanos := d.GetSeconds(), d.GetNanos()
	switch {
	case seconds > maxSeconds || seconds < -maxSeconds:
		return "its seconds exceed 10,000 years"
	case nanos > 999_999_999 || nanos < -999_999_999:
		return "its nanos exceed a second"
	case seconds > 0 && nanos < 0 || seconds < 0 && nanos > 0:
		return "its seconds and nanos have different signs"
	default:
		return ""
	}
}

// describe formats a duration, even one that a time.Duration cannot hold.
func describe(d *durationpb.Duration) string {
	const most = int64(math.MaxInt64 / time.Second)
	if seconds := d.GetSeconds(); seconds >= most || seconds <= -most {
		return fmt.Sprintf("%ds", seconds)
	}
	return short(d.AsDuration())
}

// String returns the range, with an example of how a .proto file has a value in it.
func (s span) String() string {
	example := fmt.Sprintf("{nanos: %d}", s.least)
	if s.most >= time.Second {
		example = fmt.Sprintf("{seconds: %d}", max(1, s.least/time.Second))
	}
	return fmt.Sprintf("%s to %s in whole milliseconds, such as %s", short(s.least), short(s.most), example)
}

// short formats a duration without zeros at its end, as 24h in place of 24h0m0s, and a
// whole number of days above one in days.
func short(d time.Duration) string {
	if d > day && d%day == 0 {
		return fmt.Sprintf("%d days", d/day)
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
