package bench

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/bench/load"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/bench/report"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
)

const (
	// tick is how often calls are collected.
	tick = 100 * time.Millisecond
	// liveTicks and lineTicks are the ticks between two pictures of the progress: on a
	// terminal, whose line changes, and elsewhere, where each is a line of its own.
	liveTicks = 5
	lineTicks = 50
)

// watch collects the calls of a run, and shows a person how it goes.
type watch struct {
	app      *cli.App
	clock    load.Clock
	rec      *load.Recorder
	phase    string
	length   time.Duration // of the run; 0 if it ends with its requests
	begun    time.Duration
	progress *cli.Progress // nil without a terminal
	width    int           // of the terminal
	stop     chan struct{}
	stopped  sync.WaitGroup
}

func startWatch(app *cli.App, clock load.Clock, rec *load.Recorder, phase string, length time.Duration) *watch {
	w := &watch{app: app, clock: clock, rec: rec, phase: phase, length: length, begun: clock.Now(), stop: make(chan struct{})}
	if f, ok := app.Err.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		w.width = 80
		if columns, _, err := term.GetSize(int(f.Fd())); err == nil && columns > 0 {
			w.width = columns
		}
		w.progress = app.Progress(strings.TrimSpace("calling " + phase))
	}
	w.stopped.Go(w.look)
	return w
}

func (w *watch) end() {
	close(w.stop)
	w.stopped.Wait()
	if w.progress != nil {
		w.progress.Done()
	}
}

func (w *watch) look() {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	last := w.begun
	for n := 1; ; n++ {
		select {
		case <-w.stop:
			return
		case <-ticker.C:
		}
		now := w.clock.Now()
		switch {
		case w.progress != nil && n%liveTicks == 0:
			w.progress.Sayf("%s", fitted(w.picture(now-last), w.width-besides))
			last = now
		case w.progress == nil && n%lineTicks == 0:
			w.app.Notef("%s: %s", w.until(now), strings.Join(w.picture(now-last), ", "))
			last = now
		default:
			w.rec.CollectAt(now)
		}
	}
}

// besides is the room that a line of progress needs for more than its text.
const besides = 12

// fitted joins as many parts as a line of a terminal has room for.
func fitted(parts []string, width int) string {
	line := parts[0]
	for _, part := range parts[1:] {
		if len(line)+2+len(part) > width {
			break
		}
		line += ", " + part
	}
	return line
}

// until tells how far the run is.
func (w *watch) until(now time.Duration) string {
	text := (now - w.begun).Round(tick).String()
	if w.length > 0 {
		text += " of " + w.length.String()
	}
	return text
}

// picture tells what happened in the time since the last one, the most important first.
func (w *watch) picture(since time.Duration) []string {
	l := w.rec.Live(w.clock.Now())
	var parts []string
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	if l.Messages > 0 {
		add("%s messages/s", report.Number(float64(l.Messages)/since.Seconds()))
	}
	add("%s calls/s", report.Number(float64(l.Calls)/since.Seconds()))
	if l.Errors > 0 {
		add("%d errors", l.Errors)
	}
	if l.Calls > 0 {
		add("p99 %s", report.Millis(float64(l.P99)/1e6))
		add("p50 %s", report.Millis(float64(l.P50)/1e6))
	}
	if w.phase != "" {
		parts[0] = w.phase + ": " + parts[0]
	}
	return parts
}
