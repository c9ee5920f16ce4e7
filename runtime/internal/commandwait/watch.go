package commandwait

import (
	"strings"
	"sync"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/wire"
)

// Progress is what the handler of a command has reported.
type Progress struct {
	Percent float64
	Message string
}

// News is the latest that a waiter knows of a command.
type News struct {
	Outcome  *nats.Msg // how it has ended; nil while it has not, as far as is known
	Progress *Progress // the last report; nil for none
	Reports  int       // how many reports came
}

// watch collects the news of one command from the messages about it, those that are told
// and those that are read from the stream. It is safe for concurrent use.
type watch struct {
	mu    sync.Mutex // guards all fields
	news  News
	send  string // the command's wire.HeaderSend, once that is known
	known bool   // send is known
	// changed is closed when there is something new, and then replaced; with the outcome
	// it is closed for good.
	changed chan struct{}
}

func newWatch() *watch { return &watch{changed: make(chan struct{})} }

// expect says which of the commands with the same id the command is, so that progress of
// the others is ignored.
func (w *watch) expect(send string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.send, w.known = send, true
}

// heard takes a message that was told or read about the command.
func (w *watch) heard(msg *nats.Msg) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case strings.HasSuffix(msg.Subject, "."+wire.ResultResult):
		if w.news.Outcome == nil && msg.Header.Get(wire.HeaderState) != "" {
			w.news.Outcome = msg
			close(w.changed)
		}
	case strings.HasSuffix(msg.Subject, "."+wire.ResultProgress):
		report, ok := wire.ParseProgress(msg.Data)
		if !ok || report.Percent == nil || w.known && report.Send != w.send {
			return
		}
		p := Progress{Percent: *report.Percent, Message: report.Message}
		if w.news.Progress != nil && *w.news.Progress == p {
			return // it was told before it was read, or the other way round
		}
		w.news.Progress = &p
		w.news.Reports++
		if w.news.Outcome == nil {
			close(w.changed)
			w.changed = make(chan struct{})
		}
	}
}

// latest returns the news, and a channel that is closed when there are others.
func (w *watch) latest() (News, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.news, w.changed
}

// outcome returns how the command has ended; nil if that is not known.
func (w *watch) outcome() *nats.Msg {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.news.Outcome
}
