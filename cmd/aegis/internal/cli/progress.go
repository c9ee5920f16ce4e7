package cli

import (
	"fmt"
	"sync"
	"time"
)

const (
	// patience is how long work may take before its progress is shown on a terminal.
	patience = 300 * time.Millisecond
	// longPatience is how long it may take before one line says so where there is no terminal.
	longPatience = 5 * time.Second
	// frame is how long one picture of the progress stands.
	frame = 100 * time.Millisecond
)

// Progress tells a person that work goes on: a line on the terminal with the time that the
// work has taken, or, without a terminal, one line after 5 s. Its methods may be called by
// several goroutines.
type Progress struct {
	app     *App
	stop    chan struct{}
	stopped sync.WaitGroup
	once    sync.Once

	mu   sync.Mutex // guards text
	text string
}

// Progress begins to show a progress. The caller ends it with Done.
func (a *App) Progress(text string) *Progress {
	p := &Progress{app: a, text: text, stop: make(chan struct{})}
	p.stopped.Go(p.show)
	return p
}

// Sayf changes the text.
func (p *Progress) Sayf(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.text = fmt.Sprintf(format, args...)
}

// Done takes the line away.
func (p *Progress) Done() {
	p.once.Do(func() { close(p.stop) })
	p.stopped.Wait()
}

func (p *Progress) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text
}

func (p *Progress) show() {
	begun := time.Now()
	if !p.app.live {
		select {
		case <-p.stop:
		case <-time.After(longPatience):
			p.app.Notef("%s ...", p.said())
		}
		return
	}
	select {
	case <-p.stop:
		return
	case <-time.After(patience):
	}
	tick := time.NewTicker(frame)
	defer tick.Stop()
	for n := 0; ; n++ {
		_, _ = fmt.Fprintf(p.app.Err, "\r\x1b[K%c %s (%d s)", `|/-\`[n%4], p.said(), int(time.Since(begun).Seconds()))
		select {
		case <-p.stop:
			_, _ = fmt.Fprint(p.app.Err, "\r\x1b[K")
			return
		case <-tick.C:
		}
	}
}
