package stores

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/epochs"
)

// EventLog is how the stream of the durable events of a service is divided into epochs and
// partitions. The metadata of the stream say which epoch of an event is in force; as long as no
// number of partitions was changed, the stream takes all subjects of the service, and after
// that those of the epochs in force.
type EventLog struct {
	Namespace string
	Service   string
	Subjects  wire.Subjects
	Events    []string // the durable events that the program knows
}

// divided reports whether a number of partitions was changed.
func (l *EventLog) divided(metadata map[string]string) bool {
	if l == nil {
		return false
	}
	for key := range metadata {
		if strings.HasPrefix(key, wire.EpochsKey("")) {
			return true
		}
	}
	return false
}

// needed returns the subjects of the epochs in force. An event whose number of partitions is
// being changed needs none.
func (l *EventLog) needed(metadata map[string]string) []string {
	var subjects []string
	for _, event := range l.Events {
		if h, _ := epochs.Of(metadata, event); h.Next == 0 {
			subjects = append(subjects, l.of(event, max(h.Last(), 0)))
		}
	}
	return subjects
}

// of returns the subjects of an event in an epoch.
func (l *EventLog) of(event string, epoch int) string {
	return l.Subjects.LogOf(l.Service, event, epoch)
}

// check returns an error if the metadata of the stream do not say which epochs there are.
func (l *EventLog) check(stream string, metadata map[string]string) error {
	for _, event := range l.Events {
		if _, ok := epochs.Of(metadata, event); !ok {
			return fmt.Errorf("the stream %s %w: its metadata %s, %q, and %s, %q, are not numbers of partitions", stream, ErrDifferent,
				wire.PartitionsKey(event), metadata[wire.PartitionsKey(event)], wire.EpochsKey(event), metadata[wire.EpochsKey(event)])
		}
	}
	return nil
}

// compare tells warn where the program has another number of partitions than is in force.
func (l *EventLog) compare(want *Want, metadata map[string]string, warn func(string)) {
	for _, event := range l.Events {
		h, _ := epochs.Of(metadata, event)
		if proto := want.Metadata[wire.PartitionsKey(event)]; proto != "" && h.Now() != 0 && proto != strconv.Itoa(h.Now()) {
			warn(fmt.Sprintf("%s.%s has %d partitions in the stream %s, and not %s as in the proto of this program: the number of the stream is used. "+
				"To change it: aegis streams partitions %s/%s %s", l.Service, event, h.Now(), want.Name, proto, l.Service, event, proto))
		}
	}
}

// closing returns the events whose numbers of partitions are being changed.
func (l *EventLog) closing(metadata map[string]string) []string {
	var events []string
	for key := range metadata {
		event, ok := strings.CutPrefix(key, wire.EpochsKey(""))
		if h, _ := epochs.Of(metadata, event); ok && h.Next != 0 {
			events = append(events, event)
		}
	}
	slices.Sort(events)
	return events
}

// narrowed returns the subjects of a stream without those of an epoch of an event, and with the
// one of the epoch's end. Known are the events that the stream has or may get: each of them
// keeps its subjects.
func (l *EventLog) narrowed(have []string, metadata map[string]string, known []string, event string, epoch int) []string {
	subjects := []string{l.Subjects.LogEnd(l.Service, event, epoch)}
	for _, other := range known {
		if h, _ := epochs.Of(metadata, other); other != event && h.Next == 0 {
			subjects = append(subjects, l.of(other, max(h.Last(), 0)))
		}
	}
	gone := l.of(event, epoch)
	for _, subject := range have { // what somebody has added
		if !overlap(subject, gone) && !slices.Contains(subjects, subject) {
			subjects = append(subjects, subject)
		}
	}
	slices.Sort(subjects)
	return subjects
}

// widened returns the subjects of a stream with those of an epoch of an event, and without the
// ends of former ones.
func (l *EventLog) widened(have []string, event string, epoch int) []string {
	ends := strings.TrimSuffix(l.Subjects.LogRetired(l.Service, event, 0), "0")
	subjects := slices.DeleteFunc(slices.Clone(have), func(subject string) bool { return strings.HasPrefix(subject, ends) })
	if subject := l.of(event, epoch); !slices.Contains(subjects, subject) {
		subjects = append(subjects, subject)
	}
	slices.Sort(subjects)
	return subjects
}

// overlap reports whether a subject can be covered by both filters.
func overlap(a, b string) bool {
	one, other := strings.Split(a, "."), strings.Split(b, ".")
	for i := 0; i < len(one) && i < len(other); i++ {
		switch {
		case one[i] == ">" || other[i] == ">":
			return true
		case one[i] != other[i] && one[i] != "*" && other[i] != "*":
			return false
		}
	}
	return len(one) == len(other)
}
