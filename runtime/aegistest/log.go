package aegistest

import (
	"io"
	"log/slog"
	"sync"
	"testing"
)

// timeFormat is that of the lines of a log: a test does not last for days.
const timeFormat = "15:04:05.000"

// newLogger returns a logger that writes to the output of a test, and writes nothing more
// once the test has ended.
func newLogger(tb testing.TB) *slog.Logger {
	tb.Helper()
	o := &output{to: tb.Output()}
	tb.Cleanup(o.close) // after the cleanup of all that is going to log
	return slog.New(slog.NewTextHandler(o, &slog.HandlerOptions{ReplaceAttr: shorten}))
}

// shorten leaves the date out of a line, and the level of what is ordinary.
func shorten(groups []string, a slog.Attr) slog.Attr {
	switch {
	case len(groups) > 0:
	case a.Key == slog.TimeKey && a.Value.Kind() == slog.KindTime:
		return slog.String(slog.TimeKey, a.Value.Time().Format(timeFormat))
	case a.Key == slog.LevelKey && a.Value.String() == slog.LevelInfo.String():
		return slog.Attr{}
	}
	return a
}

// output is the output of a test until the test has ended. A write to the output itself
// panics after that.
type output struct {
	mu sync.Mutex // guards to, also while a line is written
	to io.Writer  // nil after close
}

// Write writes to the output of the test, or nowhere after its end.
func (o *output) Write(line []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.to == nil {
		return len(line), nil
	}
	return o.to.Write(line)
}

func (o *output) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.to = nil
}
