package health

import (
	"math"
	"time"
)

// DefaultMemoryLimit is the memory in bytes over which the score drops: 500 MB.
const DefaultMemoryLimit = 500_000_000

// The formulas of the score, in percent, points and milliseconds.
const (
	fullScore = 100

	errorThreshold  = 5.0
	errorWeight     = 2.0
	maxErrorPenalty = 30.0

	slowThreshold  = 100 * time.Millisecond
	slowPerPoint   = 10 * time.Millisecond
	maxSlowPenalty = 20.0

	cpuThreshold  = 80.0
	cpuPenalty    = 10.0
	memoryPenalty = 10.0
)

// Grade is a mark by mean latency and error rate. The zero Grade is none.
type Grade string

// The grades, from best to worst.
const (
	GradeAPlus Grade = "A+"
	GradeA     Grade = "A"
	GradeB     Grade = "B"
	GradeC     Grade = "C"
	GradeD     Grade = "D"
)

// GradeOf returns the grade for a mean latency and an error rate in percent: A+
// under 10 ms and 1 %, A under 50 ms and 2 %, B under 100 ms and 5 %, C under
// 200 ms and 10 %, else D. Both have to be under their bounds.
func GradeOf(mean time.Duration, errorPercent float64) Grade {
	switch {
	case mean < 10*time.Millisecond && errorPercent < 1:
		return GradeAPlus
	case mean < 50*time.Millisecond && errorPercent < 2:
		return GradeA
	case mean < 100*time.Millisecond && errorPercent < 5:
		return GradeB
	case mean < 200*time.Millisecond && errorPercent < 10:
		return GradeC
	default:
		return GradeD
	}
}

// Limits are the limits over which the score drops. The zero Limits are the defaults.
type Limits struct {
	// Memory is how many bytes the process may use. Default: 500 MB.
	Memory uint64
}

// Assessment says how well an instance is.
type Assessment struct {
	// Score is from 0 to 100.
	Score float64 `json:"score"`
	// Grade depends on mean latency and error rate alone.
	Grade Grade `json:"grade"`
	// Unhealthy is set when a check says so: the instance gets no more calls.
	Unhealthy bool `json:"unhealthy,omitempty"`
	// Usage is the CPU time and memory that the process uses, as far as they are known.
	Usage Usage `json:"usage,omitzero"`
	// Findings are the checks that found something.
	Findings []Finding `json:"findings,omitempty"`
}

// Assess computes score and grade, as the package comment describes them.
func Assess(stats Stats, usage Usage, findings []Finding, limits Limits) Assessment {
	if limits.Memory == 0 {
		limits.Memory = DefaultMemoryLimit
	}
	score := fullScore - errorPenaltyOf(stats.ErrorPercent()) - slowPenaltyOf(stats.rating())
	if usage.CPUPercent != nil && *usage.CPUPercent > cpuThreshold {
		score -= cpuPenalty
	}
	if usage.MemoryBytes > limits.Memory {
		score -= memoryPenalty
	}
	a := Assessment{Grade: GradeOf(stats.rating(), stats.ErrorPercent()), Usage: usage, Findings: findings}
	for _, f := range findings {
		score -= f.penalty()
		a.Unhealthy = a.Unhealthy || f.Unhealthy
	}
	a.Score = max(score, 0)
	return a
}

func errorPenaltyOf(percent float64) float64 {
	if percent <= errorThreshold {
		return 0
	}
	return math.Min(maxErrorPenalty, errorWeight*percent)
}

func slowPenaltyOf(mean time.Duration) float64 {
	if mean <= slowThreshold {
		return 0
	}
	return math.Min(maxSlowPenalty, float64(mean-slowThreshold)/float64(slowPerPoint))
}
