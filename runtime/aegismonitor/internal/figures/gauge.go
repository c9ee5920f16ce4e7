package figures

import "time"

// Minutes is how many minutes a [Gauge] keeps.
const Minutes = 60

// Gauge is the history of an hour of a number that goes up and down, such as the length of a
// queue: of each minute it keeps the greatest. The zero Gauge is empty.
type Gauge struct {
	minutes [Minutes]struct {
		minute int64
		value  float64
	}
}

func minuteOf(t time.Time) int64 { return t.UnixNano() / int64(time.Minute) }

// Set takes in the number of now.
func (g *Gauge) Set(now time.Time, value float64) {
	minute := minuteOf(now)
	if minute <= 0 {
		return
	}
	at := &g.minutes[minute%Minutes]
	switch {
	case at.minute < minute:
		at.minute, at.value = minute, value
	case at.minute == minute:
		at.value = max(at.value, value)
	}
}

// Hour returns the numbers of the hour that ends with the minute of now, the oldest first;
// nil where it is not known.
func (g *Gauge) Hour(now time.Time) []*float64 {
	hour := make([]*float64, Minutes)
	values := make([]float64, Minutes)
	first := minuteOf(now) - Minutes + 1
	for i := range hour {
		minute := first + int64(i)
		if minute <= 0 {
			continue
		}
		if at := &g.minutes[minute%Minutes]; at.minute == minute {
			values[i] = at.value
			hour[i] = &values[i]
		}
	}
	return hour
}
