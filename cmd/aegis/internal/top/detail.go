package top

import (
	"net/url"
	"strconv"
	"strings"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	"github.com/aegisrpc/aegis/internal/monitorapi"
)

// detail is the page of one service.
type detail struct {
	service   string
	instances *grid
	methods   *grid
	doc       *monitorapi.ServiceDetail
}

func newDetail(service string) *detail {
	return &detail{
		service: service,
		instances: newGrid(
			"Instances", "by name", "No instance runs now.",
			column{title: "INSTANCE", width: 16, most: 36, key: "N"},
			column{title: titleState, width: 11, key: "L", number: true},
			column{title: "LIFE", width: 9, key: "T", drop: 7},
			column{title: "GRADE", width: 5, drop: 6},
			column{title: "SCORE", width: 6, right: true, number: true, key: "S", drop: 8},
			column{title: titleRate, width: 9, right: true, number: true, key: "C"},
			column{title: titleErrors, width: 7, right: true, number: true, key: "E", drop: 2},
			column{title: titleMedian, width: 8, right: true, number: true, key: "M", drop: 5},
			column{title: titleP99, width: 8, right: true, number: true, key: "P", drop: 1},
			column{title: "UP", width: 7, right: true, number: true, key: "A", drop: 4},
			column{title: "CPU %", width: 6, right: true, number: true, key: "U", drop: 9},
			column{title: "MEMORY", width: 9, right: true, number: true, key: "B", drop: 10},
			column{title: "VERSION", width: 8, most: 14, key: "V", drop: 11},
			column{title: "LEADS", width: 8, most: 16, key: "D", drop: 3},
			column{title: "WHY", width: 16, most: 60, drop: 12},
			column{title: "ORIGIN", width: 16, most: 60, drop: 13},
		),
		methods: newGrid(
			"Methods", "by name", "Its methods are not known.",
			column{title: "METHOD", width: 16, most: 36, key: "N"},
			column{title: "PATTERN", width: 14, key: "T", drop: 4},
			column{title: titleRate, width: 9, right: true, number: true, key: "C"},
			column{title: titleErrors, width: 7, right: true, number: true, key: "E", drop: 1},
			column{title: titleMedian, width: 8, right: true, number: true, key: "M", drop: 3},
			column{title: titleP99, width: 8, right: true, number: true, key: "P", drop: 1},
			column{title: "INST", width: 6, right: true, number: true, key: "I", drop: 5},
			column{title: "ERRORS OF THE MINUTE", width: 24, most: 60, drop: 6},
		),
	}
}

func (d *detail) path() string   { return "services/" + url.PathEscape(d.service) }
func (d *detail) grids() []*grid { return []*grid{d.instances, d.methods} }

func (d *detail) take(data []byte) (*monitorapi.Header, error) {
	doc, err := decode[monitorapi.ServiceDetail](data)
	if err != nil {
		return nil, err
	}
	instances := make([]row, 0, len(doc.Instances))
	for i := range doc.Instances {
		instances = append(instances, instanceRow(&doc.Instances[i], doc))
	}
	methods := make([]row, 0, len(doc.Methods))
	for i := range doc.Methods {
		methods = append(methods, methodRow(&doc.Methods[i]))
	}
	d.doc = doc
	d.instances.missing = missing(&doc.Header, monitorapi.SourceInstances)
	d.methods.missing = d.instances.missing
	d.instances.set(instances)
	d.methods.set(methods)
	return &doc.Header, nil
}

func instanceRow(i *monitorapi.Instance, doc *monitorapi.ServiceDetail) row {
	memory := cell{text: none, colour: cli.Dim, order: unknown}
	if i.MemoryBytes != nil {
		memory = cell{text: cli.Bytes(*i.MemoryBytes), order: float64(*i.MemoryBytes)}
	}
	life := strings.ToLower(plain(i.State))
	switch {
	case i.Subscriber:
		life = "listens"
	case i.Reserved:
		life = "reserved"
	}
	return row{id: instanceID(i), cells: []cell{
		{text: orNone(i.Name)},
		levelCell(i.Level),
		{text: life, colour: cli.Dim},
		gradeCell(i.Grade),
		figure(i.Score, 0),
		figure(i.PerSecond, 1),
		failing(i.ErrorPercent, 2, 0),
		figure(i.P50Ms, 2),
		figure(i.P99Ms, 2),
		ago(&i.Started, doc.At),
		figure(i.CPUPercent, 1),
		memory,
		{text: orNone(i.Version), colour: cli.Dim},
		{text: orNone(strings.Join(i.Leads, ","))},
		{text: orNone(i.Why), colour: cli.Dim},
		{text: orNone(origin(i)), colour: cli.Dim},
	}}
}

func instanceID(i *monitorapi.Instance) string { return i.Name + "/" + i.Process }

func methodRow(m *monitorapi.Method) row {
	return row{id: m.Name, cells: []cell{
		{text: orNone(m.Name)},
		{text: orNone(m.Pattern), colour: cli.Dim},
		figure(m.PerSecond, 1),
		failing(m.ErrorPercent, 2, 0),
		figure(m.P50Ms, 2),
		figure(m.P99Ms, 2),
		whole(m.Instances),
		{text: counts(m.Codes)},
	}}
}

func (d *detail) above(i ink, width, room int) []string {
	if d.doc == nil || room < 1 {
		return []string{i.paint(cli.Bold, plain(d.service))}[:min(1, max(room, 0))]
	}
	if !d.doc.Found && d.instances.missing == "" {
		return []string{i.paint(cli.Red, "✕ No service is called "+plain(d.service)+"; it is misspelled, or has not run within the hour. Esc goes back.")}
	}
	s := &d.doc.Service
	shape, colour := levelShape(s.Level)
	lines := []string{
		i.paint(cli.Bold, plain(d.service)) + "  " + i.paint(colour, shape+" "+plain(string(s.Level))) + "  " + i.paint(cli.Plain, plain(s.Why)),
		sides(i.paint(cli.Dim, figuresText(&s.Figures)), i.paint(cli.Blue, spark(s.Hour, hourWidth)), width),
	}
	lines = append(lines, findingLines(i, d.doc.Findings, &d.doc.Header, width, min(len(d.doc.Findings), max(1, (room-len(lines))/3)))...)
	if line := d.origin(); line != "" && len(lines) < room {
		lines = append(lines, i.paint(cli.Dim, line))
	}
	for n := range d.doc.Leaders {
		if len(lines)+2 > room {
			break
		}
		lines = append(lines, leadershipLines(i, &d.doc.Leaders[n], width)...)
	}
	return lines[:min(len(lines), room)]
}

// leadershipLines draws a group: its strip, and below it the gaps in words.
func leadershipLines(i ink, l *monitorapi.Leadership, width int) []string {
	const nameWidth = 24
	state := stateCell(l.State)
	name := i.paint(cli.Plain, fit(plain(l.Group), 10, false)) + " " + i.paint(state.colour, fit(leaderText(l), nameWidth-11, false))
	return []string{
		name + "  " + paintStrip(i, l, width-nameWidth-2),
		strings.Repeat(" ", nameWidth+2) + i.paint(cli.Dim, gapsText(l)),
	}
}

func leaderText(l *monitorapi.Leadership) string {
	if l.Instance == "" {
		return "✕ no leader"
	}
	shape, _, _ := strings.Cut(stateCell(l.State).text, " ")
	return shape + " " + plain(l.Instance)
}

// counts returns numbers by name, the greatest first.
func counts(of map[string]uint64) string {
	if len(of) == 0 {
		return none
	}
	names := sortedByCount(of)
	for n, name := range names {
		names[n] = plain(name) + " " + strconv.FormatUint(of[name], 10)
	}
	return strings.Join(names, ", ")
}
