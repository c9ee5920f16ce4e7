package top

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	"github.com/aegisrpc/aegis/internal/monitorapi"
)

// page is what one document of the monitor shows.
type page interface {
	// path is that of the document.
	path() string
	// take shows a document, and returns its header.
	take(doc []byte) (*monitorapi.Header, error)
	// above draws what stands above the grids, in so many lines at most.
	above(i ink, width, room int) []string
	// grids are the tables of the page; one at a time has the keys.
	grids() []*grid
}

// decode reads a document.
func decode[T any](doc []byte) (*T, error) {
	v := new(T)
	if err := json.Unmarshal(doc, v); err != nil {
		return nil, fmt.Errorf("a document of the monitor cannot be read, its version may differ: %w", err)
	}
	return v, nil
}

// list is a page with one grid and nothing above it. T is its document.
type list[T any] struct {
	at     string
	source monitorapi.SourceName
	grid   *grid
	read   func(doc *T) (*monitorapi.Header, []row)
}

func (l *list[T]) path() string                 { return l.at }
func (l *list[T]) above(ink, int, int) []string { return nil }
func (l *list[T]) grids() []*grid               { return []*grid{l.grid} }
func (l *list[T]) take(d []byte) (*monitorapi.Header, error) {
	doc, err := decode[T](d)
	if err != nil {
		return nil, err
	}
	header, rows := l.read(doc)
	l.grid.missing = missing(header, l.source)
	l.grid.set(rows)
	return header, nil
}

// missing says why what a source has may not be in a document, "" if it is.
func missing(h *monitorapi.Header, name monitorapi.SourceName) string {
	if !h.NATS.Connected {
		return "not connected to NATS"
	}
	for _, s := range h.Sources {
		switch {
		case s.Name != name || s.State == monitorapi.SourceReady:
		case s.State == monitorapi.SourceLoading:
			return "not read yet"
		case s.State == monitorapi.SourceAbsent && s.Problem == "":
			return "there is no JetStream"
		default:
			return plain(strings.TrimSuffix(string(s.State)+": "+s.Problem, ": "))
		}
	}
	return ""
}

// findingLines draws findings, the worst first, in so many lines at most.
func findingLines(i ink, findings []monitorapi.Finding, header *monitorapi.Header, width, room int) []string {
	if len(findings) > room {
		rest := len(findings) - max(0, room-1)
		lines := findingLines(i, findings[:max(0, room-1)], header, width, max(0, room-1))
		if room > 0 {
			lines = append(lines, i.paint(cli.Dim, "  and "+cli.Count(rest, "more finding")))
		}
		return lines
	}
	var lines []string
	for n := range findings {
		f := &findings[n]
		shape, colour := levelShape(f.Level)
		text := i.paint(colour, shape+" "+plain(f.What))
		if f.Detail != "" {
			text += "  " + i.paint(cli.Plain, plain(f.Detail))
		}
		lines = append(lines, sides(text, i.paint(cli.Dim, ago(&f.Since, header.At).text), width))
	}
	return lines
}
