package doctor

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
)

// The events of a watch.
const (
	eventNew     = "new"     // a finding that was not there
	eventChanged = "changed" // a finding with another severity than before
	eventGone    = "gone"    // a finding that is there no more
	eventLost    = "lost"    // the connection to NATS
	eventBack    = "back"    // the connection to NATS
)

// event is one change, as the JSON of a watch has it.
type event struct {
	Time    time.Time `json:"time"`
	Event   string    `json:"event"`
	Finding *Finding  `json:"finding,omitempty"`
	Error   string    `json:"error,omitempty"`
}

// changes returns what has changed from one look to the next. The numbers in a text are
// no change.
func changes(before, after []Finding, at time.Time) []event {
	had := make(map[string]*Finding, len(before))
	for i := range before {
		had[before[i].key()] = &before[i]
	}
	has := make(map[string]bool, len(after))
	var found []event
	for i := range after {
		f := &after[i]
		has[f.key()] = true
		switch old := had[f.key()]; {
		case old == nil:
			found = append(found, event{Time: at, Event: eventNew, Finding: f})
		case old.Severity != f.Severity:
			found = append(found, event{Time: at, Event: eventChanged, Finding: f})
		}
	}
	for i := range before {
		if !has[before[i].key()] {
			found = append(found, event{Time: at, Event: eventGone, Finding: &before[i]})
		}
	}
	return found
}

// watch looks again and again until ctx ends, and writes what changes.
type watch struct {
	app      *cli.App
	session  *Session
	scope    Scope
	picked   []Check
	interval time.Duration
	painter  *painter

	link chan event // lost and back, as the connection tells them
}

func newWatch(app *cli.App, s *Session, scope Scope, picked []Check, interval time.Duration, p *painter) *watch {
	w := &watch{app: app, session: s, scope: scope, picked: picked, interval: interval, painter: p, link: make(chan event, 64)}
	tell := func(e event) {
		select {
		case w.link <- e:
		default: // a connection that comes and goes so often is told often enough
		}
	}
	s.nc.SetDisconnectErrHandler(func(_ *nats.Conn, err error) {
		text := ""
		if err != nil {
			text = err.Error()
		}
		tell(event{Time: time.Now(), Event: eventLost, Error: text})
	})
	s.nc.SetReconnectHandler(func(*nats.Conn) { tell(event{Time: time.Now(), Event: eventBack}) })
	return w
}

// run returns an error if the output cannot be written, and nil when ctx ends.
func (w *watch) run(ctx context.Context) error {
	var before []Finding
	first, lost := true, false
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-w.link:
			if (e.Event == eventLost) == lost {
				continue
			}
			lost = e.Event == eventLost
			if err := w.write(e); err != nil {
				return err
			}
			if !lost {
				timer.Reset(0)
			}
			continue
		case <-timer.C:
		}
		if lost {
			continue // what would be found now is that NATS does not answer
		}
		results := runChecks(ctx, w.session, w.scope, w.picked, func(string) {})
		if ctx.Err() != nil {
			return nil
		}
		if w.session.connected() && len(w.link) == 0 {
			report := reportOf(results)
			if err := w.tell(&report, before, first); err != nil {
				return err
			}
			before, first = report.findings(), false
		}
		timer.Reset(w.interval)
	}
}

// tell writes the first report, and of each one that follows what has changed.
func (w *watch) tell(r *Report, before []Finding, first bool) error {
	if first && !w.app.JSON() {
		return w.app.Printf("%s", w.painter.report(r))
	}
	for _, e := range changes(before, r.findings(), time.Now()) {
		if err := w.write(e); err != nil {
			return err
		}
	}
	return nil
}

func (w *watch) write(e event) error {
	if w.app.JSON() {
		return w.app.PrintLine(e)
	}
	at := e.Time.Format(time.TimeOnly)
	switch e.Event {
	case eventLost:
		text := "the connection to NATS is lost, and is tried again"
		if e.Error != "" {
			text += ": " + cli.Clean(e.Error)
		}
		return w.app.Printf("%s %s\n", at, text)
	case eventBack:
		return w.app.Printf("%s the connection to NATS is back\n", at)
	}
	f := *e.Finding
	if e.Event == eventGone {
		f.Remedy = ""
	}
	return w.app.Printf("%s", w.painter.findingAfter(fmt.Sprintf("%s %-*s ", at, len(eventChanged), e.Event), &f))
}
