package board

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/aegisrpc/aegis/internal/monitorapi"
)

// absent is how long a finding has to be absent before it is over, so that what comes and goes
// does not flap.
const absent = 3 * time.Second

// judge has the findings that are shown, and those that may be soon.
type judge struct {
	held  map[string]*held // by the finding's ID
	shown []monitorapi.Finding
	last  time.Time // when was judged last
}

// held is a finding that is there, or was until a moment ago.
type held struct {
	finding

	began time.Time // seen first
	seen  time.Time // seen last
	shown bool
}

// judgeAll takes in the findings of now. Without a connection nothing is known of now: the
// findings stay as they are.
func (b *Board) judgeAll(now time.Time) {
	if !b.link.connected {
		return
	}
	b.judge.last, b.stirred = now, false
	for _, f := range b.findings(now) {
		b.judge.see(now, f)
	}
	for _, id := range b.judge.ids() {
		h := b.judge.held[id]
		switch {
		case h.seen.Equal(now):
			if !h.shown && now.Sub(h.began) >= h.hold {
				h.shown = true
				b.tellFinding(now, h, monitorapi.EventFinding)
			}
		case h.hold == 0 || now.Sub(h.seen) >= absent || !h.shown:
			delete(b.judge.held, id)
			if h.shown {
				b.tellFinding(now, h, monitorapi.EventFindingOver)
			}
		}
	}
	b.judge.order()
}

// see takes in a finding of now.
func (j *judge) see(now time.Time, f finding) {
	h := j.held[f.ID]
	if h == nil {
		h = &held{began: now}
		j.held[f.ID] = h
	}
	h.finding, h.seen = f, now
	if h.Since.IsZero() || h.Since.After(now) || !sayable(h.Since) {
		h.Since = h.began
	}
	h.What, h.Detail = clip(h.What), clip(h.Detail)
}

func (j *judge) ids() []string {
	list := make([]string, 0, len(j.held))
	for id := range j.held {
		list = append(list, id)
	}
	slices.Sort(list)
	return list
}

// order puts the findings that are shown into order: the worst first, and of these the
// longest.
func (j *judge) order() {
	list := make([]monitorapi.Finding, 0, len(j.held))
	for _, h := range j.held {
		if h.shown {
			list = append(list, h.Finding)
		}
	}
	slices.SortFunc(list, func(a, b monitorapi.Finding) int {
		return cmp.Or(cmp.Compare(rank(b.Level), rank(a.Level)), a.Since.Compare(b.Since), strings.Compare(a.ID, b.ID))
	})
	j.shown = list
}

func (b *Board) tellFinding(now time.Time, h *held, kind monitorapi.EventKind) {
	e := monitorapi.Event{
		Kind: kind, Level: h.Level, Service: h.Service, Instance: h.Instance, Group: h.Group, Method: h.Method, Text: h.What,
	}
	if kind == monitorapi.EventFindingOver {
		e.Level, e.Text = monitorapi.LevelOK, "Over after "+length(now.Sub(h.Since))+": "+h.What
	}
	b.tell(now, e)
}

// findingsOf returns the findings of a service that are shown; of all for "".
func (b *Board) findingsOf(service string) []monitorapi.Finding {
	list := []monitorapi.Finding{}
	for _, f := range b.judge.shown {
		if (service == "" || f.Service == service) && len(list) < maxFindings {
			list = append(list, f)
		}
	}
	return list
}
