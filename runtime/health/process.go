package health

import (
	"errors"
	"math"
	"sync"
	"time"
)

// ErrUnknown is returned by a [Process] whose usage the system does not tell.
var ErrUnknown = errors.New("health: unknown on this system")

// Process tells how much CPU time and memory an operating-system process uses.
// Implementations are safe for concurrent use.
type Process interface {
	// CPUTime returns the time that the process has spent on CPUs, user and system, since it
	// started.
	CPUTime() (time.Duration, error)
	// Memory returns how many bytes of memory the process has (resident set).
	Memory() (uint64, error)
}

// Usage is the CPU time and memory that a process uses. Its JSON leaves out a figure that
// is unknown.
type Usage struct {
	// CPUPercent is how much of the time of its CPUs the process has used since the last
	// sample, from 0 to 100, to a tenth; nil if unknown.
	CPUPercent *float64 `json:"cpu_percent,omitempty"`
	// MemoryBytes is the memory of the process; 0 if unknown.
	MemoryBytes uint64 `json:"memory_bytes,omitempty"`
}

// Meter samples a [Process]. It is safe for concurrent use.
type Meter struct {
	process Process
	cpus    float64

	mu     sync.Mutex // guards the last sample: the rest
	at     time.Time
	cpu    time.Duration
	known  bool // the CPU time was
	latest Usage
}

// minSample is the shortest time between two samples from which the use of the CPU can be
// told: the clock of /proc ticks every 10 ms.
const minSample = 200 * time.Millisecond

// NewMeter returns a meter of process. cpus is the number of CPUs that the process may run
// on at once, such as runtime.GOMAXPROCS(0), which knows the limits of containers; less
// than one counts as one.
func NewMeter(process Process, cpus int) *Meter {
	return &Meter{process: process, cpus: float64(max(cpus, 1))}
}

// Sample returns the usage of the process at now. The use of the CPU is known from the
// second sample on. A sample less than 200 ms after another one repeats that one.
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
