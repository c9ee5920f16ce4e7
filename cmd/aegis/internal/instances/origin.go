package instances

import (
	"slices"
	"strings"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	"github.com/aegisrpc/aegis/internal/wire"
)

// reserved marks an instance that takes only calls that choose it.
const reserved = "reserved"

// labels returns the labels in order, as --where takes them.
func (i *Instance) labels() string {
	return strings.Join(wire.LabelPairs(i.Labels), " ")
}

// column is a column of a table of instances.
type column struct {
	title string
	cell  func(*Instance) any
	spare bool // it is left out if all its cells are empty
}

// columns are those of the instances of a service.
func columns() []column {
	return []column{
		{title: "INSTANCE", cell: func(i *Instance) any { return i.Instance }},
		{title: "STATE", cell: func(i *Instance) any { return stateCell(i.State) }},
		{title: "VERSION", cell: func(i *Instance) any { return i.Version }},
		{title: "UP", cell: func(i *Instance) any { return cli.Age(i.Started) }},
		{title: "LEADS", cell: func(i *Instance) any { return leadNames(i.Leads) }},
		{title: "ZONE", cell: func(i *Instance) any { return i.Zone }, spare: true},
		{title: "NODE", cell: func(i *Instance) any { return i.Node }, spare: true},
		{title: "BUILD", cell: func(i *Instance) any { return i.Build }, spare: true},
		{title: "LABELS", cell: func(i *Instance) any { return i.labels() }, spare: true},
		{title: "GRADE", cell: func(i *Instance) any { return i.gradeCell() }},
		{title: "REMARKS", cell: func(i *Instance) any { return strings.Join(i.marks(), ", ") }},
	}
}

// fill makes the table of instances. A column that no instance has anything for is left
// out, so that the table stays narrow.
func fill(t *cli.Table, instances []Instance) {
	shown := slices.DeleteFunc(columns(), func(c column) bool {
		return c.spare && !slices.ContainsFunc(instances, func(i Instance) bool { return c.cell(&i) != "" })
	})
	titles := make([]string, len(shown))
	for n, c := range shown {
		titles[n] = c.title
	}
	t.Header(titles...)
	for i := range instances {
		cells := make([]any, len(shown))
		for n, c := range shown {
			cells[n] = c.cell(&instances[i])
		}
		t.Row(cells...)
	}
}

// words returns what an instance says of itself, in words.
func (i *Instance) words() []string {
	var words []string
	for _, one := range []struct{ name, text string }{{"zone", i.Zone}, {"node", i.Node}, {"build", i.Build}, {"labels", i.labels()}} {
		if one.text != "" {
			words = append(words, one.name+" "+one.text)
		}
	}
	return words
}
