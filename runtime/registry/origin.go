package registry

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// MaxLabels is how many labels an instance may have.
	MaxLabels = 32
	// MaxLabelKey is how many bytes the key of a label may have, as in Kubernetes: a prefix
	// of 253, a slash and a name of 63.
	MaxLabelKey = 317
	// MaxLabelValue is how many bytes the value of a label, a zone, a node or a build may have.
	MaxLabelValue = 253

	// maxOrigin is how many bytes all of an origin may take: it travels with each heartbeat.
	maxOrigin = 4 << 10
)

// Origin says where a process runs, and what it is a copy of. A process never changes it.
type Origin struct {
	// Zone is where the process runs, such as the zone of a cloud: calls within a zone are
	// quicker and cheaper than those between two. "" if unknown.
	Zone string
	// Node is the machine. "" if unknown.
	Node string
	// Build is the version of the program, unlike that of a service, which is in its proto.
	// "" if unknown.
	Build string
	// Labels are what else a program says of itself, by key.
	Labels map[string]string
}

// Validate returns an error that wraps [ErrInvalidRecord] if a record cannot have the origin:
// a text is not UTF-8, has a control character or is too long, or there are too many labels.
func (o *Origin) Validate() error {
	size := 0
	for _, one := range []struct{ name, text string }{{"zone", o.Zone}, {"node", o.Node}, {"build", o.Build}} {
		size += len(one.text)
		if len(one.text) > MaxLabelValue || !printable(one.text) {
			return invalid("corrupt: %s %.100q is not a text of at most %d bytes without control characters", one.name, one.text, MaxLabelValue)
		}
	}
	if len(o.Labels) > MaxLabels {
		return invalid("corrupt: %d labels, at most %d are possible", len(o.Labels), MaxLabels)
	}
	for key, value := range o.Labels {
		size += len(key) + len(value)
		switch {
		case key == "" || len(key) > MaxLabelKey || !printable(key) || strings.ContainsAny(key, " =,"):
			return invalid("corrupt: label %.100q is not a key of 1 to %d bytes without spaces, \"=\" and \",\"", key, MaxLabelKey)
		case len(value) > MaxLabelValue || !printable(value):
			return invalid("corrupt: label %s: %.100q is not a text of at most %d bytes without control characters", key, value, MaxLabelValue)
		}
	}
	if size > maxOrigin {
		return invalid("corrupt: zone, node, build and labels take %d bytes, at most %d are possible", size, maxOrigin)
	}
	return nil
}

// printable reports whether a text can be shown as it is.
func printable(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, unicode.IsControl)
}
