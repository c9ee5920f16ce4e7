package board

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/aegisrpc/aegis/internal/monitorapi"
	"github.com/aegisrpc/aegis/runtime/aegisadmin"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/figures"
)

const (
	// unworked is how long work may wait for nobody.
	unworked = 10 * time.Second
	// old is how long a command may wait for a worker.
	old = 5 * time.Minute
	// growing is over how many minutes work has to grow, and grown how much there has to be.
	growing = 5
	grown   = 100
	// A stream that refuses what comes when it is full is nearly full from 80 % on, and
	// critically so from 95 % on.
	nearlyFull, full = 80, 95
)

// findings are those of a queue.
func (q *queue) findings(now time.Time, s *service) []finding {
	c := &q.counts
	f := finding{hold: patience, Finding: monitorapi.Finding{
		ID: id("queue", s.name, c.Method), Level: monitorapi.LevelAttention, Service: s.name, Method: c.Method,
		Detail: many(c.Waiting, "command") + " waiting",
	}}
	label, age := s.label(c.Method), now.Sub(c.Oldest)
	switch {
	case pausedAt(now, c.PausedUntil) != nil:
		f.What, f.Detail = label+" is paused", many(c.Waiting, "command")+" waiting; it goes on in "+length(c.PausedUntil.Sub(now))
	case c.Waiting <= 0:
		return nil
	case !c.Workers:
		f.What, f.hold = "Commands of "+label+" wait, and no worker was ever there", unworked
	case !q.starving.IsZero():
		f.What, f.hold, f.Since = "Commands of "+label+" wait, and no worker asks for them", unworked, q.starving
		if now.Sub(q.starving) >= old {
			f.Level = monitorapi.LevelCritical
		}
	case !c.Oldest.IsZero() && age >= old:
		f.What, f.Since = "Commands of "+label+" wait for long", c.Oldest.Add(old)
		f.Detail += ", the oldest for " + length(age)
	case grows(now, &q.waiting):
		f.What = "The queue of " + label + " grows"
	default:
		return nil
	}
	return []finding{f}
}

// grows reports whether there is much of something, and more from minute to minute.
func grows(now time.Time, g *figures.Gauge) bool {
	recent := g.Hour(now)
	recent = recent[len(recent)-growing-1:]
	last := math.Inf(-1)
	for _, n := range recent {
		if n == nil || *n <= last {
			return false
		}
		last = *n
	}
	return last >= grown
}

// findings are those of a subscription.
func (x *subscription) findings(now time.Time, s *service) []finding {
	w := &x.work
	who := w.Group
	if who == "" {
		who = w.Instance
	}
	lag, _ := w.Pending()
	f := finding{hold: patience, Finding: monitorapi.Finding{
		ID: id("subscription", s.name, w.Method, w.Group, w.Instance), Level: monitorapi.LevelAttention,
		Service: s.name, Method: w.Method, Instance: w.Instance, Detail: many(lag, "event") + " not delivered yet",
	}}
	switch {
	case pausedAt(now, w.PausedUntil) != nil:
		f.What = who + " is paused at " + s.label(w.Method)
		f.Detail += "; it goes on in " + length(w.PausedUntil.Sub(now))
	case lag == 0:
		return nil
	case !x.starving.IsZero():
		f.What, f.hold, f.Since = who+" does not ask for the events of "+s.label(w.Method), unworked, x.starving
	case grows(now, &x.lag):
		f.What = who + " falls behind at " + s.label(w.Method)
	default:
		return nil
	}
	return []finding{f}
}

// streamFindings are those of a stream.
func streamFindings(s *service, x *aegisadmin.Stream) []finding {
	var list []finding
	if percent := fullness(x); x.Refuses && percent >= nearlyFull {
		f := finding{hold: patience, Finding: monitorapi.Finding{
			ID: id("full", s.name, x.Name), Level: monitorapi.LevelAttention, Service: s.name,
			What:   fmt.Sprintf("The stream of %s of %s is nearly full", x.Kind, s.shortName()),
			Detail: fmt.Sprintf("%s: %.0f %% of its limit; a full stream refuses what comes", x.Name, math.Floor(percent)),
		}}
		if percent >= full {
			f.Level = monitorapi.LevelCritical
		}
		list = append(list, f)
	}
	if len(x.Behind) > 0 {
		list = append(list, finding{hold: 2 * patience, Finding: monitorapi.Finding{
			ID: id("behind", s.name, x.Name), Level: monitorapi.LevelAttention, Service: s.name,
			What:   fmt.Sprintf("The stream of %s of %s has %s behind", x.Kind, s.shortName(), many(len(x.Behind), "replica")),
			Detail: x.Name + ": " + strings.Join(x.Behind, ", ") + " offline or not current",
		}})
	}
	return list
}

// fullness returns how full a stream is in percent.
func fullness(x *aegisadmin.Stream) (percent float64) {
	if x.MaxBytes > 0 {
		percent = 100 * float64(x.Bytes) / float64(x.MaxBytes)
	}
	if x.MaxMessages > 0 {
		percent = max(percent, 100*float64(x.Messages)/float64(x.MaxMessages))
	}
	return percent
}

// letterFindings are those of the dead letters of a service. Letters that came within the
// hour need attention; others are only there.
func (s *service) letterFindings(now time.Time) []finding {
	var list []finding
	for _, m := range byMethod(s.letters.groups) {
		if m.count <= 0 {
			continue
		}
		f := finding{Finding: monitorapi.Finding{
			ID: id("letters", s.name, m.method), Level: monitorapi.LevelOK, Service: s.name, Method: m.method,
			Since: earlier(instant(m.first), now), What: many(m.count, "dead letter") + " of " + s.label(m.method), Detail: m.last.Example,
		}}
		if now.Sub(m.last.Last) < hour {
			f.Level = monitorapi.LevelAttention
			f.Detail = "The last one came within the hour: " + f.Detail
		}
		list = append(list, f)
	}
	return list
}
