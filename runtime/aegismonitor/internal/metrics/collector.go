package metrics

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/aegisrpc/aegis/internal/monitorapi"
	"github.com/aegisrpc/aegis/runtime/aegisadmin"
)

// maxAge is how old a source may be that cannot be read any more until its series end. Short
// failures would else reset every alert that waits for something to last.
const maxAge = 2 * time.Minute

// Collector makes the metrics of the documents when Prometheus asks for them. It is safe for
// concurrent use.
type Collector struct {
	documents Documents
	streams   func() int
}

// NewCollector returns a collector of the documents of a board.
func NewCollector(d Documents, streams func() int) *Collector {
	return &Collector{documents: d, streams: streams}
}

// Describe sends the descriptions of all metrics.
func (c *Collector) Describe(out chan<- *prometheus.Desc) {
	for _, f := range families {
		out <- f.desc
	}
}

// Collect sends the metrics as they are now.
func (c *Collector) Collect(out chan<- prometheus.Metric) {
	s := &scrape{out: out, sent: map[*family]map[string]bool{}}
	now := time.Now()
	overview := c.documents.Overview(now)
	s.monitor(overview)
	s.set(openStreams, float64(c.streams()))
	if known(&overview.Header, monitorapi.SourceInstances) {
		for _, service := range overview.Services {
			s.instances(service.Name, c.documents.Service(now, service.Name))
		}
	}
	if known(&overview.Header, monitorapi.SourceLeaders) {
		c.leaders(s, now)
	}
	s.work(c.documents.Work(now))
	s.set(leftOut, float64(s.left))
}

// leaders sends how each group is led.
func (c *Collector) leaders(s *scrape, now time.Time) {
	for _, l := range c.documents.Leaders(now).Leaders {
		s.set(leader, number(l.State == monitorapi.LeaderLeads), l.Service, l.Group)
		s.set(leaderTerm, float64(l.Term), l.Service, l.Group)
	}
	for _, g := range c.documents.GapsTotal(now) {
		s.set(gaps, float64(g.Gaps), g.Service, g.Group)
		s.set(gapSeconds, g.Seconds, g.Service, g.Group)
	}
}

// monitor sends how the monitor is, and what it finds.
func (s *scrape) monitor(o *monitorapi.Overview) {
	s.set(connected, number(o.NATS.Connected))
	for _, source := range o.Sources {
		for _, state := range []monitorapi.SourceState{
			monitorapi.SourceLoading, monitorapi.SourceReady, monitorapi.SourceDenied, monitorapi.SourceAbsent, monitorapi.SourceFailed,
		} {
			s.set(sourceState, number(source.State == state), string(source.Name), string(state))
		}
		if source.At != nil {
			s.set(sourceAge, since(o.At, *source.At), string(source.Name))
		}
	}
	levels := map[monitorapi.Level]int{monitorapi.LevelAttention: 0, monitorapi.LevelCritical: 0}
	for _, f := range o.Findings {
		levels[f.Level]++
	}
	for level, n := range levels {
		s.set(findings, float64(n), string(level))
	}
}

// instances sends how many instances a service has. Programs that only subscribe to its
// events are none of them, nor are reserved instances, which take only calls that choose them.
func (s *scrape) instances(service string, d *monitorapi.ServiceDetail) {
	states := map[string]int{"STARTING": 0, "RUNNING": 0, "STOPPING": 0}
	ill := 0
	for _, i := range d.Instances {
		if i.Subscriber || i.Reserved {
			continue
		}
		states[i.State]++
		if i.Unhealthy {
			ill++
		}
	}
	for state, n := range states {
		s.set(instances, float64(n), service, state)
	}
	s.set(unhealthy, float64(ill), service)
}

// work sends how the durable work is.
func (s *scrape) work(w *monitorapi.Work) {
	if known(&w.Header, monitorapi.SourceWork) {
		for _, q := range w.Queues {
			s.queue(&q, w.At)
		}
		for _, x := range w.Subscriptions {
			s.set(lag, float64(x.Lag), x.Service, x.Method, x.Group, x.Instance)
			s.set(pending, float64(x.Pending), x.Service, x.Method, x.Group, x.Instance)
			s.set(redelivered, float64(x.Redelivered), x.Service, x.Method, x.Group, x.Instance)
		}
		for _, x := range w.Streams {
			s.stream(&x)
		}
	}
	if known(&w.Header, monitorapi.SourceDeadLetters) {
		s.letters(w.DeadLetters)
	}
}

// queue sends how many commands of a method there are.
func (s *scrape) queue(q *monitorapi.Queue, now time.Time) {
	s.set(commands, float64(q.Scheduled), q.Service, q.Method, string(aegisadmin.Scheduled))
	s.set(commands, float64(q.Waiting), q.Service, q.Method, string(aegisadmin.Waiting))
	s.set(commands, float64(q.Running), q.Service, q.Method, string(aegisadmin.Running))
	s.set(commands, float64(q.Retrying), q.Service, q.Method, string(aegisadmin.Retrying))
	for _, p := range q.Priorities {
		s.set(waiting, float64(p.Waiting), q.Service, q.Method, p.Priority)
	}
	if q.Oldest != nil {
		s.set(oldest, since(now, *q.Oldest), q.Service, q.Method)
	}
}

// stream sends how full a stream is.
func (s *scrape) stream(x *monitorapi.Stream) {
	s.set(streamMessages, float64(x.Messages), x.Service, x.Kind, x.Name)
	s.set(streamBytes, float64(x.Bytes), x.Service, x.Kind, x.Name)
	s.set(streamRefuses, number(x.Refuses), x.Service, x.Kind, x.Name)
	if x.MaxBytes != nil {
		s.set(streamMaxBytes, float64(*x.MaxBytes), x.Service, x.Kind, x.Name)
	}
}

// letters sends how many dead letters each method has. Their reasons would be labels
// without bound.
func (s *scrape) letters(groups []monitorapi.LetterGroup) {
	type method struct{ service, name string }
	counts := map[method]int{}
	var order []method
	for _, g := range groups {
		m := method{g.Service, g.Method}
		if _, ok := counts[m]; !ok {
			order = append(order, m)
		}
		counts[m] += g.Count
	}
	for _, m := range order {
		s.set(deadLetters, float64(counts[m]), m.service, m.name)
	}
}

// known reports whether what was read from a source may be shown as it is now.
func known(h *monitorapi.Header, name monitorapi.SourceName) bool {
	i := slices.IndexFunc(h.Sources, func(s monitorapi.Source) bool { return s.Name == name })
	if i < 0 {
		return false
	}
	switch s := h.Sources[i]; s.State {
	case monitorapi.SourceReady:
		return h.NATS.Connected || recent(h, &s)
	case monitorapi.SourceFailed:
		return recent(h, &s)
	case monitorapi.SourceLoading, monitorapi.SourceDenied, monitorapi.SourceAbsent:
	}
	return false
}

func recent(h *monitorapi.Header, s *monitorapi.Source) bool {
	return s.At != nil && h.At.Sub(*s.At) <= maxAge
}

// since returns how many seconds ago something was. Clocks of others may be ahead.
func since(now, at time.Time) float64 { return max(now.Sub(at), 0).Seconds() }

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
