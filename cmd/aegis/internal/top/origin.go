package top

import (
	"slices"
	"strings"

	"github.com/aegisrpc/aegis/internal/monitorapi"
	"github.com/aegisrpc/aegis/internal/wire"
)

// origin returns what an instance says of itself, in one line; "" if it says nothing.
func origin(i *monitorapi.Instance) string {
	var parts []string
	if i.Reserved {
		parts = append(parts, "reserved")
	}
	for _, one := range []struct{ name, text string }{{"zone ", i.Zone}, {"node ", i.Node}, {"build ", i.Build}} {
		if one.text != "" {
			parts = append(parts, one.name+one.text)
		}
	}
	return strings.Join(append(parts, wire.LabelPairs(i.Labels)...), " · ")
}

// origin is the line about the instance at the cursor, which a narrow terminal has no column
// for. It is "" if no instance says anything of itself, so that the rows stay where they are
// while the cursor moves.
func (d *detail) origin() string {
	says := func(i monitorapi.Instance) bool { return origin(&i) != "" }
	at := d.instances.selected()
	if at == nil || !slices.ContainsFunc(d.doc.Instances, says) {
		return ""
	}
	selected := slices.IndexFunc(d.doc.Instances, func(i monitorapi.Instance) bool { return instanceID(&i) == at.id })
	if selected < 0 {
		return ""
	}
	i := &d.doc.Instances[selected]
	return orNone(i.Name) + ": " + orNone(origin(i))
}
