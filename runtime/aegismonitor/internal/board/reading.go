package board

import (
	"math"
	"time"

	"github.com/aegisrpc/aegis/internal/monitorapi"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/figures"
)

// Figures beyond these are not those of an instance, whatever it says of itself.
const (
	maxPerSecond = 1e8
	maxLatency   = time.Hour // the histograms of instances end at 18 minutes
	maxInFlight  = 1 << 40
)

// reading is the figures of an instance as its report has them.
func (i *instance) reading() figures.Reading {
	r := figures.Unknown()
	if i.report == nil {
		return r
	}
	if perSecond := i.report.PerMinute / 60; perSecond >= 0 && perSecond <= maxPerSecond {
		r.PerSecond = perSecond
	}
	if i.report.Requests > 0 {
		r.ErrorPercent = min(i.report.ErrorPercent(), 100)
	}
	if l := i.report.Latency; l != nil && l.P50 >= 0 && l.P99 <= maxLatency {
		r.P50Ms, r.P90Ms, r.P99Ms = milliseconds(l.P50), milliseconds(l.P90), milliseconds(l.P99)
	}
	return r
}

// inFlight returns how many requests of an instance run, as its report says; nil if it does
// not.
func (i *instance) inFlight() *int64 {
	if i.report == nil || i.report.InFlight < 0 || i.report.InFlight > maxInFlight {
		return nil
	}
	n := i.report.InFlight
	return &n
}

// figuresOf returns the figures of an instance at now.
func (s *service) figuresOf(now time.Time, key instanceKey, i *instance) monitorapi.Figures {
	r := i.reading()
	if rate, ok := s.meters.counters[key].rate(now); ok {
		r.PerSecond = rate
	}
	f := shownAs(r)
	f.InFlight = i.inFlight()
	return f
}

func shownAs(r figures.Reading) monitorapi.Figures {
	return monitorapi.Figures{
		PerSecond: known(r.PerSecond), ErrorPercent: known(r.ErrorPercent),
		P50Ms: known(r.P50Ms), P90Ms: known(r.P90Ms), P99Ms: known(r.P99Ms),
	}
}

// reported adds up the reports of the servers of a service.
type reported struct {
	reports   int
	perSecond float64
	inFlight  int64
	sum       figures.Sum
	busy      int             // how many of them had requests
	latencies figures.Reading // of the one that had, if there is but one
}

func (s *service) reported() reported {
	var t reported
	for key, i := range s.fleet.present {
		if i.report == nil || key.subscriber {
			continue
		}
		r := i.reading()
		t.reports++
		if !math.IsNaN(r.PerSecond) {
			t.perSecond += r.PerSecond
		}
		if n := i.inFlight(); n != nil {
			t.inFlight += *n
		}
		if i.report.Requests > 0 {
			t.sum.Merge(&figures.Sum{Requests: i.report.Requests, Errors: min(i.report.Failed(), i.report.Requests)})
			t.busy++
			t.latencies = r
		}
	}
	return t
}

// useReports makes the figures of a service of the reports in the heartbeats of its
// instances: those of the last minute. Latencies of several instances cannot be put
// together from those.
func (s *service) useReports(now time.Time, over time.Duration) {
	t := s.reported()
	if t.reports == 0 {
		return
	}
	if t.busy != 1 {
		t.latencies = figures.Unknown()
	}
	m := &s.meters.total
	t.latencies.PerSecond, t.latencies.ErrorPercent = t.perSecond, math.NaN()
	if percent, ok := t.sum.ErrorPercent(); ok {
		t.latencies.ErrorPercent = percent
	}
	m.figures = shownAs(t.latencies)
	m.figures.InFlight = &t.inFlight
	m.series.Add(now, over, t.perSecond, &t.sum)
}
