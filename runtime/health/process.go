package health

import (
	"errors"
	"math"
	"sync"
	"time"
)

// ErrUnknown is returned by a [Process] that cannot tell what it uses.
var ErrUnknown = errors.New("health: unknown on this system")

// Process tells what an operating-system process uses. Implementations are safe
// for concurrent use.
type Process interface {
	// CPUTime is the time that it has spent on CPUs, user and system, since it
	// started.
	CPUTime() (time.Duration, error)
	// Memory is how many bytes of memory it holds (resident set).
	Memory() (uint64, error)
}

// Usage is what a process uses. As JSON it leaves out what is unknown.
type Usage struct {
	// CPUPercent is how much of its CPUs' time the process used since the sample
	// before, from 0 to 100, to a tenth; nil if unknown.
	CPUPercent *float64 `json:"cpu_percent,omitempty"`
	// MemoryBytes is its memory; 0 if unknown.
	MemoryBytes uint64 `json:"memory_bytes,omitempty"`
}

// Meter samples a [Process]. It is safe for concurrent use.
type Meter struct {
	process Process
	cpus    float64

	mu     sync.Mutex
	at     time.Time
	cpu    time.Duration
	known  bool
	latest Usage
}

// minSample is how far apart two samples have to be to say something about the
// CPU: the clock of /proc ticks every 10 ms.
const minSample = 200 * time.Millisecond

// NewMeter returns a meter of process, which may run on as many CPUs at once as
// cpus says (runtime.GOMAXPROCS(0), which knows the limits of containers). What
// is under one counts as one.
func NewMeter(process Process, cpus int) *Meter {
	return &Meter{process: process, cpus: float64(max(cpus, 1))}
}

// Sample returns what the process uses at now. The CPU is known from the second
// sample on; samples less than 200 ms apart repeat the one before.
func (m *Meter) Sample(now time.Time) Usage {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.known && now.Sub(m.at) < minSample {
		return m.latest
	}
	var usage Usage
	if memory, err := m.process.Memory(); err == nil {
		usage.MemoryBytes = memory
	}
	cpu, err := m.process.CPUTime()
	if err == nil && m.known {
		percent := 100 * float64(cpu-m.cpu) / float64(now.Sub(m.at)) / m.cpus
		percent = math.Round(10*min(max(percent, 0), 100)) / 10
		usage.CPUPercent = &percent
	}
	m.at, m.cpu, m.known, m.latest = now, cpu, err == nil, usage
	return usage
}
