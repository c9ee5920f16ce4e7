package board

import (
	"math"
	"time"

	"github.com/aegisrpc/aegis/internal/monitorapi"
	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/figures"
	"github.com/aegisrpc/aegis/runtime/health"
)

const (
	// shown is the time of which error rates and latencies are shown.
	shown = 10 * time.Second
	// stale is after which time without counts those of an instance are forgotten.
	stale = 2 * time.Minute
)

// Stats is what one instance has counted, as its answer to $SRV.STATS says.
type Stats struct {
	Service, Instance, Process string
	Methods                    []MethodStats
}

// MethodStats is what an instance has counted of one method.
type MethodStats struct {
	Method string
	Counts figures.Counts
	// Codes are the errors of the last minute by code; nil if the instance does not say it.
	Codes map[health.Code]uint64
}

// Description is what the proto of a service says.
type Description struct {
	Text    string
	Methods []MethodDescription
}

// MethodDescription is what the proto of a method says.
type MethodDescription struct {
	Name, Pattern, Group, Text string
}

// meters are the figures of a service.
type meters struct {
	total    meter
	methods  map[string]*meter
	counters map[instanceKey]*counters
}

// meter has the figures of a service, or of a method of all its instances.
type meter struct {
	window  figures.Window
	series  figures.Series
	pending figures.Sum // since the last Tick
	tally   tally
	figures monitorapi.Figures // of the last Tick
	counted time.Time          // when an instance said its counts last
}

// tally adds up instances for a meter at a Tick.
type tally struct {
	instances int // that have counts
	perSecond float64
	inFlight  int64
	rates     int           // of how many instances the rate is known
	over      time.Duration // the longest time between two readings
	codes     map[health.Code]uint64
}

// counters are the last counts of an instance.
type counters struct {
	process string
	at      time.Time
	methods map[string]*counter
}

// counter is the last counts of a method on an instance.
type counter struct {
	meter *meter
	last  figures.Counts
	at    time.Time
	rate  float64
	over  time.Duration // the time that the rate is of; 0 for no rate
	codes map[health.Code]uint64
}

// Stats takes in what an instance has counted up to now.
func (b *Board) Stats(now time.Time, in *Stats) {
	b.mu.Lock()
	defer b.unlock()
	s, key := b.counting(in)
	if s == nil {
		return
	}
	c := s.countersOf(key, in.Process)
	if c == nil {
		return
	}
	c.at = now
	for i := range in.Methods {
		m := &in.Methods[i]
		counter := c.methods[m.Method]
		if counter == nil {
			if counter = b.newCounter(s, c, m.Method); counter == nil {
				continue
			}
		}
		counter.meter.counted = now
		if d, ok := counter.count(now, m); ok {
			counter.meter.add(now, &d)
			if !key.subscriber {
				s.meters.total.add(now, &d)
			}
		}
	}
	b.changed()
}

// counting returns the service and the key of an instance that says what it has counted. If
// the instances are known, the answer of one that is not among them is too late, and there is
// no service.
func (b *Board) counting(in *Stats) (*service, instanceKey) {
	name, subscriber := wire.ParseSubscribers(in.Service)
	key := instanceKey{in.Instance, subscriber}
	if !b.census.listed {
		return b.service(name), key
	}
	s := b.services[name]
	if s == nil || s.fleet.present[key] != nil {
		return s, key
	}
	key.subscriber = true
	if s.fleet.present[key] == nil {
		return nil, key
	}
	return s, key
}

// countersOf returns the counters of an instance, new ones for another process; nil if there
// are too many.
func (s *service) countersOf(key instanceKey, process string) *counters {
	c := s.meters.counters[key]
	if c == nil && len(s.meters.counters) >= maxInstances {
		return nil
	}
	if c == nil || c.process != process {
		c = &counters{process: process, methods: map[string]*counter{}}
		s.meters.counters[key] = c
	}
	return c
}

func (b *Board) newCounter(s *service, c *counters, method string) *counter {
	m := s.meters.methods[method]
	if m == nil {
		if b.census.methods >= maxMethods {
			b.census.leftMethods++
			return nil
		}
		b.census.methods++
		m = &meter{}
		s.meters.methods[method] = m
	}
	counter := &counter{meter: m}
	c.methods[method] = counter
	return counter
}

// count takes in new counts, and returns what has happened since the last ones.
func (c *counter) count(now time.Time, m *MethodStats) (figures.Delta, bool) {
	over := now.Sub(c.at)
	first := c.at.IsZero()
	if !first && over <= 0 {
		return figures.Delta{}, false
	}
	d, ok := m.Counts.Since(c.last, over)
	c.last, c.at, c.codes = m.Counts, now, m.Codes
	if first || !ok {
		c.over = 0
		return figures.Delta{}, false
	}
	c.rate, c.over = d.PerSecond(), over
	return d, true
}

func (m *meter) add(now time.Time, d *figures.Delta) {
	m.window.Add(now, d)
	m.pending.Add(d)
}

// held reports whether a rate still holds: one or two readings may be missed before it is
// not known any more, so that figures do not jump.
func (c *counter) held(now time.Time) bool {
	return c.over > 0 && now.Sub(c.at) <= min(c.over*5/2+500*time.Millisecond, stale)
}

// measure makes the figures of all services, and a point of their history, of what has
// happened since the last Tick.
func (b *Board) measure(now time.Time, over time.Duration) {
	for _, s := range b.services {
		s.measure(now, over)
	}
}

func (s *service) measure(now time.Time, over time.Duration) {
	s.meters.total.tally = tally{}
	for _, m := range s.meters.methods {
		m.tally = tally{}
	}
	for key, c := range s.meters.counters {
		s.addCounters(now, key, c)
	}
	for key, i := range s.fleet.present {
		s.addInstance(now, key, i)
	}
	s.meters.total.close(now, over)
	for _, m := range s.meters.methods {
		m.close(now, over)
	}
	if s.meters.total.tally.rates == 0 {
		s.useReports(now, over)
	}
}

// addCounters adds what an instance has counted to the tallies of the methods and the service.
func (s *service) addCounters(now time.Time, key instanceKey, c *counters) {
	for _, counter := range c.methods {
		tallies := []*tally{&counter.meter.tally, &s.meters.total.tally}
		if key.subscriber {
			tallies = tallies[:1]
		}
		for _, t := range tallies {
			t.add(now, counter)
		}
	}
}

func (t *tally) add(now time.Time, c *counter) {
	if now.Sub(c.at) > stale {
		return
	}
	t.instances++
	if c.last.InFlight > 0 && c.last.InFlight <= maxInFlight {
		t.inFlight += c.last.InFlight
	}
	if c.held(now) {
		t.rates++
		t.perSecond += c.rate
		t.over = max(t.over, c.over)
	}
	for code, n := range c.codes {
		if t.codes == nil {
			t.codes = map[health.Code]uint64{}
		}
		t.codes[code] += n
	}
}

// addInstance adds a point to the history of an instance, and the rate of one that does not
// say what it has counted to that of its service.
func (s *service) addInstance(now time.Time, key instanceKey, i *instance) {
	r := i.reading()
	rate, ok := s.meters.counters[key].rate(now)
	if ok {
		r.PerSecond = rate
	} else if t := &s.meters.total.tally; !key.subscriber && t.rates > 0 && !math.IsNaN(r.PerSecond) {
		t.perSecond += r.PerSecond
	}
	if i.report != nil || ok {
		i.hour.Add(now, r)
	}
}

// rate returns the rate of an instance.
func (c *counters) rate(now time.Time) (sum float64, ok bool) {
	if c == nil {
		return 0, false
	}
	for _, counter := range c.methods {
		if counter.held(now) {
			sum, ok = sum+counter.rate, true
		}
	}
	return sum, ok
}

// close makes the figures of what was tallied.
func (m *meter) close(now time.Time, over time.Duration) {
	m.figures = monitorapi.Figures{}
	t := &m.tally
	if t.instances > 0 {
		inFlight := t.inFlight
		m.figures.InFlight = &inFlight
	}
	if t.rates == 0 {
		m.pending = figures.Sum{}
		return
	}
	m.figures.PerSecond = known(t.perSecond)
	sum := m.window.Sum(now, max(shown, t.over*3/2))
	if percent, ok := sum.ErrorPercent(); ok {
		m.figures.ErrorPercent = known(percent)
	}
	m.figures.P50Ms, m.figures.P90Ms, m.figures.P99Ms = percentiles(&sum.Latencies)
	m.series.Add(now, over, t.perSecond, &m.pending)
	m.pending = figures.Sum{}
}

func percentiles(l *figures.Latencies) (p50, p90, p99 *float64) {
	if l.Total() == 0 {
		return nil, nil, nil
	}
	of := func(perMille uint64) *float64 {
		d, _ := l.Percentile(perMille)
		return known(milliseconds(d))
	}
	return of(500), of(900), of(990)
}

// copied returns figures that share no memory with others.
func copied(f monitorapi.Figures) monitorapi.Figures {
	for _, p := range []**float64{&f.PerSecond, &f.ErrorPercent, &f.P50Ms, &f.P90Ms, &f.P99Ms} {
		if *p != nil {
			x := **p
			*p = &x
		}
	}
	if f.InFlight != nil {
		n := *f.InFlight
		f.InFlight = &n
	}
	return f
}

// forgetCounters forgets the counts of instances that do not say them any more, and methods
// that none has counted for an hour.
func (s *service) forgetCounters(now time.Time) {
	for key, c := range s.meters.counters {
		if now.Sub(c.at) > stale {
			delete(s.meters.counters, key)
		}
	}
	for name, m := range s.meters.methods {
		if now.Sub(m.counted) > hour {
			delete(s.meters.methods, name)
		}
	}
}
