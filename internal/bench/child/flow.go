package child

import (
	"runtime"
	"time"
)

// Flow asks for messages in one direction: how many, and of what size when they
// are marshalled.
type Flow struct {
	Messages uint64 `json:"messages"`
	Bytes    int    `json:"bytes"`
}

// FlowResult says how much time, processor time and memory the messages took.
type FlowResult struct {
	Elapsed time.Duration `json:"elapsed"`
	CPU     time.Duration `json:"cpu"`    // of this process
	Allocs  float64       `json:"allocs"` // per message
}

// MeasureFlow measures f, which carries the messages.
func MeasureFlow(o Flow, f func() error) (*FlowResult, error) {
	runtime.GC() // each round begins alike
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	cpu, err := CPUTime()
	if err != nil {
		return nil, err
	}
	start := time.Now()
	if err := f(); err != nil {
		return nil, err
	}
	elapsed := time.Since(start)
	used, err := CPUTime()
	if err != nil {
		return nil, err
	}
	runtime.ReadMemStats(&after)
	return &FlowResult{Elapsed: elapsed, CPU: used - cpu, Allocs: float64(after.Mallocs-before.Mallocs) / float64(o.Messages)}, nil
}
