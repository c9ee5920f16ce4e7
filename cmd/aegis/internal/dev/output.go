package dev

import (
	"bytes"
	"fmt"
	"strings"
	"sync"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
)

// self is the name under which dev itself speaks.
const self = "aegis"

// longestLine is where a line of a server is broken, so that a server that never ends its
// line does not fill the memory.
const longestLine = 64 << 10

// colours are those of the names of servers, one after the other.
var colours = []cli.Colour{cli.Cyan, cli.Green, cli.Yellow, cli.Blue}

// output writes lines of several sources, each with the name of its source. It is safe for
// concurrent use.
type output struct {
	app   *cli.App
	width int // of the longest name

	mu     sync.Mutex // guards what follows
	closed bool       // standard output is gone
	onGone func()     // called once when standard output is gone
}

// line is a line as JSON.
type line struct {
	From string `json:"from"`
	Text string `json:"text"`
}

// sayf writes what dev itself has to say, which may be several lines. The errors of go have tabs.
func (o *output) sayf(colour cli.Colour, format string, args ...any) {
	said := strings.ReplaceAll(fmt.Sprintf(format, args...), "\t", "    ")
	for text := range strings.Lines(cli.Clean(said)) {
		o.write(self, cli.Bold, o.app.Style.Paint(colour, strings.TrimSuffix(text, "\n")))
	}
}

// write writes a line.
func (o *output) write(from string, colour cli.Colour, text string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return
	}
	var err error
	if o.app.JSON() {
		err = o.app.PrintLine(line{From: from, Text: text})
	} else {
		name := from + strings.Repeat(" ", max(0, o.width-len(from)))
		err = o.app.Printf("%s %s\n", o.app.Style.Paint(colour, name+" |"), text)
	}
	if err != nil {
		// Nobody reads any more (as after `aegis dev | head`), so nothing is run for nobody.
		o.closed = true
		o.onGone()
	}
}

// lines returns a writer of the lines of one source.
func (o *output) lines(from string, n int) *lineWriter {
	return &lineWriter{out: o, from: from, colour: colours[n%len(colours)]}
}

// lineWriter writes whole lines. It is safe for concurrent use.
type lineWriter struct {
	out    *output
	from   string
	colour cli.Colour

	mu   sync.Mutex // guards rest
	rest []byte     // a line without its end
}

// Write never fails.
func (w *lineWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rest = append(w.rest, p...)
	for {
		text, rest, ok := bytes.Cut(w.rest, []byte("\n"))
		if !ok {
			break
		}
		w.emit(text)
		w.rest = rest
	}
	if len(w.rest) > longestLine {
		w.flush()
	}
	return len(p), nil
}

// end writes what is left when the source has ended.
func (w *lineWriter) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.flush()
}

func (w *lineWriter) flush() {
	if len(w.rest) > 0 {
		w.emit(w.rest)
		w.rest = nil
	}
}

// emit leaves colours in, as a server that finds no terminal prints none by itself.
func (w *lineWriter) emit(text []byte) {
	w.out.write(w.from, w.colour, string(bytes.TrimSuffix(text, []byte("\r"))))
}
