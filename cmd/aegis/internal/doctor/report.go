package doctor

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
)

// Report is what a look has found.
type Report struct {
	// Worst is the greatest severity of all findings.
	Worst  Severity       `json:"worst"`
	Counts map[string]int `json:"counts"`
	Checks []Result       `json:"checks"`
}

// reportOf makes the report of the results of all checks.
func reportOf(results []Result) Report {
	r := Report{Counts: make(map[string]int), Checks: results}
	for _, name := range severityNames {
		r.Counts[name] = 0
	}
	for _, result := range results {
		r.Worst = max(r.Worst, result.Severity)
		for i := range result.Findings {
			r.Counts[result.Findings[i].Severity.String()]++
		}
	}
	return r
}

// findings returns the findings of all checks.
func (r *Report) findings() []Finding {
	var all []Finding
	for _, result := range r.Checks {
		all = append(all, result.Findings...)
	}
	return all
}

// summary says in one line how many findings there are.
func (r *Report) summary() string {
	count := func(s Severity, one, more string) string {
		return count(uint64(r.Counts[s.String()]), one, more)
	}
	return strings.Join([]string{
		count(Failure, "error", "errors"), count(Warning, "warning", "warnings"), count(Unknown, "unknown", "unknown"),
		count(Info, "info", "info"), count(OK, "ok", "ok"),
	}, ", ")
}

// painter writes findings for people.
type painter struct {
	style cli.Style
	width int // of the terminal; 0: lines are as long as they need
}

func (p *painter) colour(s Severity) cli.Colour {
	switch s {
	case OK:
		return cli.Green
	case Warning:
		return cli.Yellow
	case Failure:
		return cli.Red
	case Unknown:
		return cli.Cyan
	case Info:
	}
	return cli.Plain
}

// The columns of a finding's first line: symbol and severity, then the id.
const (
	severityColumn = 8
	idColumn       = 24
	// indent is that of the lines that follow.
	indent = 4
	// narrow is the width below which the text does not stand beside the id.
	narrow = 100
)

// finding returns the lines of a finding: what was found, and what to do.
func (p *painter) finding(f *Finding) string { return p.findingAfter("", f) }

// findingAfter is finding with a text at the beginning of the first line, which has a line
// of its own on a narrow terminal.
func (p *painter) findingAfter(lead string, f *Finding) string {
	var b strings.Builder
	b.WriteString(lead)
	if lead != "" && p.width > 0 && p.width < narrow {
		b.WriteString("\n")
		lead = ""
	}
	severity := f.Severity.Symbol() + " " + f.Severity.String()
	b.WriteString(p.style.Paint(p.colour(f.Severity), severity))
	b.WriteString(strings.Repeat(" ", max(severityColumn+2-utf8.RuneCountInString(severity), 0)+1))
	text := f.Text
	if f.Subject != "" && !strings.Contains(text, f.Subject) {
		text = f.Subject + ": " + text
	}
	text = cli.Clean(text)
	if p.width > 0 && p.width < narrow {
		b.WriteString(f.ID + "\n")
		p.wrap(&b, strings.Repeat(" ", indent), text)
	} else {
		fmt.Fprintf(&b, "%-*s ", idColumn, f.ID)
		p.wrapAfter(&b, len(lead)+severityColumn+idColumn+indent, text)
	}
	if f.Remedy != "" {
		p.wrap(&b, strings.Repeat(" ", indent)+p.style.Paint(cli.Bold, "→")+" ", cli.Clean(f.Remedy))
	}
	return cli.Fit(b.String(), p.width)
}

// wrap writes a text in lines that begin with lead, or with as many blanks.
func (p *painter) wrap(b *strings.Builder, lead, text string) {
	b.WriteString(lead)
	blanks := indent
	if strings.TrimSpace(lead) != "" {
		blanks += 2
	}
	p.wrapAfter(b, blanks, text)
}

// wrapAfter writes a text that begins in a column, and breaks it between words where it
// reaches the end of the terminal.
func (p *painter) wrapAfter(b *strings.Builder, column int, text string) {
	if p.width == 0 {
		b.WriteString(text + "\n")
		return
	}
	at := column
	for i, word := range strings.Fields(text) {
		n := utf8.RuneCountInString(word)
		switch {
		case i > 0 && at+1+n > p.width:
			b.WriteString("\n" + strings.Repeat(" ", column))
			at = column
		case i > 0:
			b.WriteByte(' ')
			at++
		}
		b.WriteString(word)
		at += n
	}
	b.WriteByte('\n')
}

// report returns the report for people.
func (p *painter) report(r *Report) string {
	var b strings.Builder
	for _, f := range r.findings() {
		b.WriteString(p.finding(&f))
	}
	b.WriteString("\n" + cli.Fit(r.summary()+"\n", p.width))
	return b.String()
}
