package top

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	"github.com/aegisrpc/aegis/internal/monitorapi"
)

func newLeaders() page {
	return &list[monitorapi.Leaders]{
		at:     "leaders",
		source: monitorapi.SourceLeaders,
		grid: newGrid(
			"Leaders", "by service", "No group has a leader. Services with single active methods have some.",
			column{title: titleService, width: 20, most: 44, key: "N"},
			column{title: "GROUP", width: 10, most: 20, key: "O", drop: 4},
			column{title: titleState, width: 8, key: "L", number: true},
			column{title: "LEADER", width: 12, most: 24, key: "T"},
			column{title: "SINCE", width: 7, right: true, number: true, key: "A", drop: 3},
			column{title: "GAPS", width: 6, right: true, number: true, key: "B", drop: 2},
			column{title: "WITHOUT", width: 9, right: true, number: true, key: "W", drop: 1},
			column{title: "STAND", width: 6, right: true, number: true, key: "I", drop: 5},
			column{title: titleHour, width: 30, most: 60, drop: 6},
			column{title: "TERM", width: 17, right: true, drop: 7},
		),
		read: func(doc *monitorapi.Leaders) (*monitorapi.Header, []row) {
			rows := make([]row, 0, len(doc.Leaders))
			for i := range doc.Leaders {
				rows = append(rows, leaderRow(&doc.Leaders[i], doc.At))
			}
			return &doc.Header, rows
		},
	}
}

func leaderRow(l *monitorapi.Leadership, now time.Time) row {
	stand := 0
	for _, c := range l.Candidates {
		if c.Stands && !c.Leads {
			stand++
		}
	}
	without := cell{text: seconds(l.LeaderlessSeconds), order: l.LeaderlessSeconds}
	if len(l.Gaps) == 0 {
		without = whole(0)
	}
	return row{id: l.Service + "/" + l.Group, opens: l.Service, cells: []cell{
		{text: orNone(l.Service)},
		{text: orNone(l.Group)},
		stateCell(l.State),
		{text: orNone(l.Instance)},
		ago(l.Since, now),
		wrong(len(l.Gaps), cli.Yellow),
		without,
		whole(stand),
		{draw: func(width int) string { return string(strip(l, width)) }},
		{text: strconv.FormatUint(l.Term, 10), colour: cli.Dim},
	}}
}

// stateCell is the state of a leader with a shape.
func stateCell(s monitorapi.LeaderState) cell {
	switch s {
	case monitorapi.LeaderLeads:
		return cell{text: "● " + string(s), colour: cli.Green}
	case monitorapi.LeaderSilent:
		return cell{text: "▲ " + string(s), colour: cli.Yellow, order: 1}
	default:
		return cell{text: "✕ " + plain(string(s)), colour: cli.Red, order: 2}
	}
}

const (
	gapTone   = '✕'
	blankTone = '·'
)

// strip draws the history of a leadership: each reign in a tone, the next one in the other,
// and each gap as wide as it was, at least one character. What was not watched is a dot.
func strip(l *monitorapi.Leadership, width int) []rune {
	out := []rune(strings.Repeat(string(blankTone), max(0, width)))
	whole := l.To.Sub(l.From)
	if whole <= 0 || width <= 0 {
		return out
	}
	column := func(t time.Time) int {
		return max(0, min(width-1, int(float64(t.Sub(l.From))/float64(whole)*float64(width))))
	}
	draw := func(from time.Time, to *time.Time, tone rune) {
		end := l.To
		if to != nil {
			end = *to
		}
		if end.Before(l.From) {
			return
		}
		for c := column(from); c <= column(end); c++ {
			out[c] = tone
		}
	}
	for n, r := range l.Reigns {
		draw(r.From, r.To, []rune("█▒")[n%2])
	}
	for _, g := range l.Gaps {
		draw(g.From, g.To, gapTone)
	}
	return out
}

// paintStrip is a strip with its gaps in red.
func paintStrip(i ink, l *monitorapi.Leadership, width int) string {
	var b strings.Builder
	runes := strip(l, width)
	for from := 0; from < len(runes); {
		to := from
		for to < len(runes) && (runes[to] == gapTone) == (runes[from] == gapTone) {
			to++
		}
		colour := cli.Blue
		if runes[from] == gapTone {
			colour = cli.Red
		}
		b.WriteString(i.paint(colour, string(runes[from:to])))
		from = to
	}
	return b.String()
}

// gapsText says how long the gaps of a group were, the latest first.
func gapsText(l *monitorapi.Leadership) string {
	if len(l.Gaps) == 0 {
		return fmt.Sprintf("no gap since %s", clock(l.From))
	}
	const most = 4
	var told []string
	for n := len(l.Gaps) - 1; n >= 0 && len(told) < most; n-- {
		g := &l.Gaps[n]
		length := seconds(g.Seconds)
		if !g.Exact {
			length = "about " + length
		}
		if g.To == nil {
			length += " so far"
		}
		told = append(told, fmt.Sprintf("%s at %s (%s)", length, clock(g.From), plain(g.Cause)))
	}
	text := fmt.Sprintf("%s, %s in all: %s", cli.Count(len(l.Gaps), "gap"), seconds(l.LeaderlessSeconds), strings.Join(told, ", "))
	if len(l.Gaps) > most {
		text += ", …"
	}
	return text
}
