package top

import (
	"fmt"
	"strings"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	"github.com/aegisrpc/aegis/internal/monitorapi"
)

// hourWidth is the width of the picture of an hour.
const hourWidth = 20

// overview is the page of all services.
type overview struct {
	services *grid
	doc      *monitorapi.Overview
}

func newOverview() *overview {
	return &overview{services: newGrid(
		"Services", "worst first", "No service runs here. `aegis init` makes one, `aegis demo` runs some.",
		column{title: titleService, width: 22, most: 44, key: "N"},
		column{title: titleState, width: 11, key: "L", number: true},
		column{title: "GRADE", width: 5, drop: 6},
		column{title: "SCORE", width: 6, right: true, number: true, key: "S", drop: 9},
		column{title: titleRate, width: 9, right: true, number: true, key: "C"},
		column{title: titleErrors, width: 7, right: true, number: true, key: "E", drop: 2},
		column{title: titleMedian, width: 8, right: true, number: true, key: "M", drop: 5},
		column{title: titleP99, width: 8, right: true, number: true, key: "P", drop: 1},
		column{title: "INST", width: 6, right: true, number: true, key: "I", drop: 4},
		column{title: "LEADER", width: 12, most: 24, key: "T", drop: 7},
		column{title: titleHour, width: hourWidth, drop: 8},
		column{title: "WHY", width: 16, most: 40, drop: 10},
	)}
}

func (o *overview) path() string   { return "overview" }
func (o *overview) grids() []*grid { return []*grid{o.services} }

func (o *overview) take(d []byte) (*monitorapi.Header, error) {
	doc, err := decode[monitorapi.Overview](d)
	if err != nil {
		return nil, err
	}
	rows := make([]row, 0, len(doc.Services))
	for i := range doc.Services {
		rows = append(rows, serviceRow(&doc.Services[i]))
	}
	o.doc = doc
	o.services.missing = missing(&doc.Header, monitorapi.SourceInstances)
	o.services.set(rows)
	return &doc.Header, nil
}

func serviceRow(s *monitorapi.Service) row {
	return row{id: s.Name, opens: s.Name, cells: []cell{
		{text: orNone(s.Name)},
		levelCell(s.Level),
		gradeCell(s.Grade),
		figure(s.Score, 0),
		figure(s.PerSecond, 1),
		failing(s.ErrorPercent, 2, 0),
		figure(s.P50Ms, 2),
		figure(s.P99Ms, 2),
		instancesCell(s),
		leaderCell(s.Leaders),
		hourCell(s.Hour),
		{text: orNone(s.Why), colour: cli.Dim},
	}}
}

// instancesCell says how many instances a service has, how many of them run if not all, and
// behind a plus how many more are reserved.
func instancesCell(s *monitorapi.Service) cell {
	c := whole(s.Instances)
	if s.Running != s.Instances {
		c.text = fmt.Sprintf("%d/%d", s.Running, s.Instances)
		c.colour = cli.Yellow
	}
	if s.Reserved > 0 {
		c.text += fmt.Sprintf("+%d", s.Reserved)
	}
	return c
}

// leaderCell names the leader of a service, or says how many groups have one.
func leaderCell(leaders []monitorapi.LeaderName) cell {
	led := 0
	for _, l := range leaders {
		if l.State == monitorapi.LeaderLeads {
			led++
		}
	}
	switch {
	case len(leaders) == 0:
		return cell{text: none, colour: cli.Dim}
	case led < len(leaders) && len(leaders) == 1:
		return cell{text: "✕ " + plain(string(leaders[0].State)), colour: cli.Red}
	case led < len(leaders):
		return cell{text: fmt.Sprintf("✕ %d of %d", led, len(leaders)), colour: cli.Red}
	case len(leaders) == 1:
		return cell{text: orNone(leaders[0].Instance)}
	default:
		return cell{text: fmt.Sprintf("%d groups", led)}
	}
}

func (o *overview) above(i ink, width, room int) []string {
	if o.doc == nil || room < 1 {
		return nil
	}
	t := &o.doc.Totals
	text := figuresText(&t.Figures)
	if t.DeadLetters != nil {
		text += " · " + cli.Count(*t.DeadLetters, "dead letter")
	}
	if t.Gaps > 0 {
		text += fmt.Sprintf(" · %s, %s without a leader", cli.Count(t.Gaps, "gap"), seconds(t.LeaderlessSeconds))
	}
	text += fmt.Sprintf(" · %s · %s", cli.Count(t.Instances, "instance"), cli.Count(t.Leaders, "leader"))
	lines := []string{i.paint(cli.Dim, text)}
	lines = append(lines, sourceLines(i, &o.doc.Header)...)
	lines = append(lines, findingLines(i, o.doc.Findings, &o.doc.Header, width, room-len(lines))...)
	return lines[:min(len(lines), room)]
}

// sourceLines says what the monitor cannot read, in one line for all.
func sourceLines(i ink, h *monitorapi.Header) []string {
	var problems []string
	for _, s := range h.Sources {
		switch s.State {
		case monitorapi.SourceDenied, monitorapi.SourceFailed, monitorapi.SourceAbsent:
			text := plain(string(s.Name)) + " " + string(s.State)
			if s.Problem != "" {
				text += ": " + plain(s.Problem)
			}
			problems = append(problems, text)
		default:
		}
	}
	if len(problems) == 0 {
		return nil
	}
	return []string{i.paint(cli.Yellow, "○ not seen: "+strings.Join(problems, "; "))}
}
