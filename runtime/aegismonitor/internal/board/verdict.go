package board

import (
	"fmt"
	"strings"

	"github.com/aegisrpc/aegis/internal/monitorapi"
)

// sees says in words what a source shows.
var sees = map[monitorapi.SourceName]string{
	monitorapi.SourceInstances:   "instances",
	monitorapi.SourceFigures:     "figures",
	monitorapi.SourceLeaders:     "leaders",
	monitorapi.SourceWork:        "durable work",
	monitorapi.SourceDeadLetters: "dead letters",
}

// verdict says in words how all is.
func (b *Board) verdict() monitorapi.Verdict {
	switch {
	case !b.link.connected:
		return monitorapi.Verdict{Level: monitorapi.LevelCritical, Text: "Not connected to NATS"}
	case b.sources.named(monitorapi.SourceInstances).State == monitorapi.SourceLoading:
		return monitorapi.Verdict{Level: monitorapi.LevelUnknown, Text: "Still looking"}
	}
	n, level := b.judge.count()
	unseen, hidden := b.unseen()
	v := monitorapi.Verdict{Level: level}
	switch {
	case n == 1:
		v.Text = "One thing needs attention" + unseen
	case n > 1:
		v.Text = fmt.Sprintf("%d things need attention", n) + unseen
	case hidden:
		v.Level, v.Text = monitorapi.LevelUnknown, "All that can be seen is well"+unseen
	case b.sources.named(monitorapi.SourceWork).State == monitorapi.SourceLoading && b.link.server.JetStream:
		v.Level, v.Text = monitorapi.LevelUnknown, "Still looking"
	case len(b.services) == 0:
		v.Level, v.Text = monitorapi.LevelUnknown, "No service is here yet"+unseen
	case unseen != "":
		v.Text = "All that can be seen is well" + unseen
	default:
		v.Text = "All is well"
	}
	return v
}

// count returns how many findings need attention, and the worst level.
func (j *judge) count() (n int, level monitorapi.Level) {
	level = monitorapi.LevelOK
	for i := range j.shown {
		if rank(j.shown[i].Level) >= rank(monitorapi.LevelAttention) {
			n++
		}
		level = worse(level, j.shown[i].Level)
	}
	return n, level
}

// unseen says which half is not seen, and whether there may be something to see.
func (b *Board) unseen() (text string, hidden bool) {
	var names []string
	absent := false
	for i := range b.sources {
		switch s := &b.sources[i]; s.State {
		case monitorapi.SourceDenied, monitorapi.SourceFailed:
			names = append(names, sees[s.Name])
		case monitorapi.SourceAbsent:
			absent = true
		case monitorapi.SourceLoading, monitorapi.SourceReady:
		}
	}
	if absent {
		text = "; there is no JetStream"
	}
	if len(names) > 0 {
		text += "; " + list(names) + " cannot be seen"
	}
	return text, len(names) > 0
}

// list puts words together: "a, b and c".
func list(words []string) string {
	if n := len(words); n > 1 {
		return strings.Join(words[:n-1], ", ") + " and " + words[n-1]
	}
	return strings.Join(words, "")
}
