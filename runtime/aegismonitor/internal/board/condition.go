package board

import (
	"fmt"
	"math"
	"strings"

	"github.com/aegisrpc/aegis/internal/monitorapi"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/health"
)

// judged is from how many requests in a minute on a grade says something: one slow request
// in a quiet minute is none of anybody's concern.
const judged = 10

// condition is how an instance is.
type condition struct {
	level monitorapi.Level
	why   string
	ails  ailment
}

// ailment is what is wrong with an instance, the worst last.
type ailment int

const (
	well      ailment = iota
	checked           // a check lowers its score
	poor              // a grade of C or D
	unhealthy         // a check says that it gets no more calls
)

// assess makes the condition of an instance from its facts and its report.
func (i *instance) assess() {
	r := i.report
	c := condition{level: monitorapi.LevelOK}
	switch {
	case i.facts.Unhealthy || r != nil && r.Unhealthy:
		c = condition{level: monitorapi.LevelCritical, ails: unhealthy}
	case r == nil && i.facts.State == aegis.StateRunning:
		c.level = monitorapi.LevelUnknown
	case r != nil && (r.Grade == health.GradeC || r.Grade == health.GradeD) && r.Requests >= judged:
		c = condition{level: monitorapi.LevelAttention, ails: poor}
	case r != nil && penalized(r):
		c = condition{level: monitorapi.LevelAttention, ails: checked}
	}
	c.why = clip(strings.Join(i.reasons(), "; "))
	i.condition = c
}

func penalized(r *health.Report) bool {
	for _, f := range r.Findings {
		if f.Penalty > 0 {
			return true
		}
	}
	return false
}

// reasons says what lowers the score of an instance, and what its checks have found.
func (i *instance) reasons() []string {
	r := i.report
	if r == nil {
		switch {
		case i.facts.Unhealthy:
			return []string{"a check says that it is unhealthy"}
		case i.facts.State == aegis.StateRunning:
			return []string{"its heartbeat was not heard yet"}
		}
		return nil
	}
	var list []string
	for _, f := range r.Findings {
		list = append(list, reason(f))
	}
	if i.facts.Unhealthy && !r.Unhealthy {
		list = append(list, "a check says that it is unhealthy")
	}
	if percent := r.ErrorPercent(); percent > 5 {
		list = append(list, number(percent)+" % of its requests fail")
	}
	if mean := milliseconds(r.Mean()); mean > 100 {
		list = append(list, "its requests take "+number(mean)+" ms on average")
	}
	if cpu := r.Usage.CPUPercent; cpu != nil && *cpu > 80 {
		list = append(list, "it uses "+number(*cpu)+" % of its CPUs")
	}
	if used := r.Usage.MemoryBytes; used > 0 && overMemory(r) {
		list = append(list, fmt.Sprintf("it uses %d MB of memory", used/1_000_000))
	}
	return list
}

// overMemory reports whether the memory of an instance lowers its score. Its limit is not in
// the report: the score tells.
func overMemory(r *health.Report) bool {
	unlimited := health.Assess(r.Stats, r.Usage, r.Findings, health.Limits{Memory: math.MaxUint64})
	return r.Score < unlimited.Score-5
}

func reason(f health.Finding) string {
	text := "check " + f.Check
	switch {
	case f.Unhealthy:
		text += " says that it is unhealthy"
	case f.Penalty > 0:
		text += " takes " + number(f.Penalty) + " points"
	}
	if f.Reason != "" {
		text += ": " + f.Reason
	}
	return text
}
