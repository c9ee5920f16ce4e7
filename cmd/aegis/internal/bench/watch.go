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
			w.progress.Sayf("%s", cut(w.picture(now, now-last), w.width-besides))
			last = now
		case w.progress == nil && n%lineTicks == 0:
			w.app.Notef("%s", w.picture(now, now-last))
			last = now
		default:
			w.rec.CollectAt(now)
		}
	}
}

// besides is the room that a line of progress needs for more than its text.
const besides = 12

// cut keeps a text on one line of a terminal.
func cut(text string, width int) string {
	if r := []rune(text); len(r) > width {
		return string(r[:max(width, 0)])
	}
	return text
}

// picture tells what happened in the time since the last one.
func (w *watch) picture(now, since time.Duration) string {
	l := w.rec.Live(now)
	var b strings.Builder
	if w.phase != "" {
		b.WriteString(w.phase + ": ")
	}
	fmt.Fprintf(&b, "%s", (now - w.begun).Round(100*time.Millisecond))
	if w.length > 0 {
		fmt.Fprintf(&b, " of %s", w.length)
	}
	if l.Messages > 0 {
		fmt.Fprintf(&b, ", %s messages", report.PerSecond(float64(l.Messages)/since.Seconds()))
	}
	fmt.Fprintf(&b, ", %s calls", report.PerSecond(float64(l.Calls)/since.Seconds()))
	if l.Calls > 0 {
		fmt.Fprintf(&b, ", p50 %s, p99 %s", report.Millis(float64(l.P50)/1e6), report.Millis(float64(l.P99)/1e6))
	}
	if l.Errors > 0 {
		fmt.Fprintf(&b, ", %d errors", l.Errors)
	}
	return b.String()
}
