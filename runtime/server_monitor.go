package aegis

import (
	"context"
	"encoding/json"
	"runtime"
	"sync"
	"time"

	"github.com/aegisrpc/aegis/runtime/health"
	"github.com/aegisrpc/aegis/runtime/registry"
)

// checkTimeout bounds how long checks have, and so how long they can delay the
// start; a shorter heartbeat bounds it as well.
const checkTimeout = 2 * time.Second

// monitor finds out, once a heartbeat, how well this instance is.
type monitor struct {
	server *Server
	meter  *health.Meter

	mu        sync.Mutex // guards the rest
	usage     health.Usage
	findings  []health.Finding
	condition registry.Condition
}

func newMonitor(s *Server) *monitor {
	return &monitor{server: s, meter: health.NewMeter(health.CurrentProcess(), runtime.GOMAXPROCS(0))}
}

// run goes round until ctx ends.
func (m *monitor) run(ctx context.Context) {
	ticker := time.NewTicker(m.server.cfg.heartbeat)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			m.round(ctx)
		}
	}
}

// round asks the users' checks, and looks at what the process uses.
func (m *monitor) round(ctx context.Context) {
	limited, cancel := context.WithTimeout(ctx, min(m.server.cfg.heartbeat, checkTimeout))
	defer cancel()
	findings := m.server.cfg.checks.Run(limited)
	if ctx.Err() != nil {
		return // the checks were interrupted
	}
	condition := registry.Condition{NoRespondersHidden: m.server.conn.void.Found()}
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

// tell logs what has changed, and puts it into the registry.
func (m *monitor) tell(was, is registry.Condition, findings []health.Finding) {
	s := m.server
	switch {
	case is.Unhealthy && !was.Unhealthy:
		for _, f := range findings {
			if f.Unhealthy {
				s.logger.Warn("aegis: this instance is unhealthy and is not picked for calls", "check", f.Check, "reason", f.Reason)
			}
		}
	case was.Unhealthy && !is.Unhealthy:
		s.logger.Info("aegis: this instance is healthy again")
	}
	if is != was {
		s.registrar.SetCondition(is)
	}
}

// assess judges figures of this instance.
func (m *monitor) assess(snapshot health.Snapshot) health.Report {
	m.mu.Lock()
	usage, findings := m.usage, m.findings
	m.mu.Unlock()
	return health.Report{
		Snapshot:   snapshot,
		Assessment: health.Assess(snapshot.Stats, usage, findings, health.Limits{Memory: m.server.cfg.memoryLimit}),
	}
}

// metrics is what a heartbeat carries.
func (m *monitor) metrics(name string) json.RawMessage {
	recorder := m.server.recorderOf(name)
	if recorder == nil {
		return nil
	}
	return encodeReport(m.assess(health.Snapshot{Stats: recorder.Stats(time.Now())}))
}

// unhealthy returns what makes this instance unhealthy; nil if nothing does.
func (m *monitor) unhealthy() *health.Finding {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, f := range m.findings {
		if f.Unhealthy {
			return &f
		}
	}
	return nil
}
