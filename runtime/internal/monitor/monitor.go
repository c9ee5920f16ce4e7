// Package monitor finds out how well an instance is: what the program's checks say,
// how much of the machine the process uses, how its methods do, and how busy the
// instance is with each service. Heartbeats, reports and NATS micro show the results.
package monitor

import (
	"context"
	"encoding/json"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"github.com/aegisrpc/aegis/runtime/health"
	"github.com/aegisrpc/aegis/runtime/internal/micro"
	"github.com/aegisrpc/aegis/runtime/registry"
)

// checkTimeout bounds how long checks have, and so how long they can delay the start
// of a server. A shorter interval bounds it as well.
const checkTimeout = 2 * time.Second

// Options are those of New.
type Options struct {
	Checks      *health.Checks
	MemoryLimit uint64        // in bytes; 0 is the default of package health
	Interval    time.Duration // between two rounds
	Logger      *slog.Logger
	// Hidden reports whether NATS hides that nobody listens on a subject.
	Hidden func() bool
	// Changed is called with the condition of the instance when it has changed.
	Changed func(registry.Condition)
}

// Monitor watches one instance. It is safe for concurrent use.
type Monitor struct {
	o     Options
	meter *health.Meter

	mu        sync.Mutex // guards the results of the last round
	usage     health.Usage
	findings  []health.Finding
	condition registry.Condition
}

// New makes a monitor. Until the first round nothing is known of process and checks.
func New(o Options) *Monitor {
	return &Monitor{o: o, meter: health.NewMeter(health.CurrentProcess(), runtime.GOMAXPROCS(0))}
}

// Run makes a round every interval until ctx ends.
func (m *Monitor) Run(ctx context.Context) {
	ticker := time.NewTicker(m.o.Interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			m.Round(ctx)
		}
	}
}

// Round runs the checks, and samples what the process uses.
func (m *Monitor) Round(ctx context.Context) {
	limited, cancel := context.WithTimeout(ctx, min(m.o.Interval, checkTimeout))
	defer cancel()
	findings := m.o.Checks.Run(limited)
	if ctx.Err() != nil {
		return // the checks were interrupted, so their findings mean nothing
	}
	condition := registry.Condition{NoRespondersHidden: m.o.Hidden()}
	for _, f := range findings {
		condition.Unhealthy = condition.Unhealthy || f.Unhealthy
	}
	usage := m.meter.Sample(time.Now())
	m.mu.Lock()
	was := m.condition
	m.usage, m.findings, m.condition = usage, findings, condition
	m.mu.Unlock()
	m.tell(was, condition, findings)
}

// tell logs a change of the condition, and passes it on.
func (m *Monitor) tell(was, is registry.Condition, findings []health.Finding) {
	switch {
	case is.Unhealthy && !was.Unhealthy:
		for _, f := range findings {
			if f.Unhealthy {
				m.o.Logger.Warn("aegis: this instance is unhealthy and is not picked for calls", "check", f.Check, "reason", f.Reason)
			}
		}
	case was.Unhealthy && !is.Unhealthy:
		m.o.Logger.Info("aegis: this instance is healthy again")
	}
	if is != was {
		m.o.Changed(is)
	}
}

// Unhealthy returns the finding that makes this instance unhealthy; nil if none does.
func (m *Monitor) Unhealthy() *health.Finding {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, f := range m.findings {
		if f.Unhealthy {
			return &f
		}
	}
	return nil
}

// Assess judges figures of this instance by what the last round has found.
func (m *Monitor) Assess(snapshot health.Snapshot) health.Report {
	m.mu.Lock()
	usage, findings := m.usage, m.findings
	m.mu.Unlock()
	return health.Report{
		Snapshot:   snapshot,
		Assessment: health.Assess(snapshot.Stats, usage, findings, health.Limits{Memory: m.o.MemoryLimit}),
	}
}

// Metrics returns the report that a heartbeat carries; nil without a recorder.
func (m *Monitor) Metrics(recorder *health.Recorder) json.RawMessage {
	if recorder == nil {
		return nil
	}
	return encode(m.Assess(health.Snapshot{Stats: recorder.Stats(time.Now())}))
}

// Micro returns the figures of one method for the tools for NATS micro: the counts
// since the start of the process, and a report of the method alone with the latencies since
// the start.
func (m *Monitor) Micro(method *Method) micro.Stats {
	stats := method.counted()
	report := m.Assess(health.Snapshot{Stats: method.Health.Stats(time.Now())})
	report.Spread = method.Health.Spread()
	stats.Data = encode(report)
	return stats
}

// encode returns nil for figures that have no JSON, of which there are none.
func encode(report health.Report) json.RawMessage {
	data, err := report.Encode()
	if err != nil {
		return nil
	}
	return data
}
