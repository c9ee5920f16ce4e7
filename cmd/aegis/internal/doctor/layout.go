package doctor

import (
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/aegisrpc/aegis/internal/wire"
)

// streamKind tells the streams of a service apart.
type streamKind string

// commands names the pattern, its stream and what waits there.
const commands = "commands"

// The streams of a service; docs/protocol.md describes them.
const (
	kindNone     streamKind = "" // a stream of somebody else
	kindEvents   streamKind = "events"
	kindCommands streamKind = commands
	kindResults  streamKind = "results"
	kindDead     streamKind = "dead"
	kindAttempts streamKind = "attempts"
)

func streamKinds() []streamKind {
	return []streamKind{kindEvents, kindCommands, kindResults, kindDead, kindAttempts}
}

// streamName returns the name of a stream of a service.
func streamName(namespace string, kind streamKind, service string) string {
	switch kind {
	case kindEvents:
		return wire.EventStream(namespace, service)
	case kindCommands:
		return wire.CommandStream(namespace, service)
	case kindResults:
		return wire.ResultStream(namespace, service)
	case kindDead:
		return wire.DeadStream(namespace, service)
	case kindAttempts:
		return wire.AttemptStream(namespace, service)
	case kindNone:
	}
	return ""
}

func streamNames(namespace, service string) []string {
	var names []string
	for _, kind := range streamKinds() {
		names = append(names, streamName(namespace, kind, service))
	}
	return names
}

// parseStreamName returns which stream of which service has a name; kindNone for a stream
// of somebody else.
func parseStreamName(namespace, name string) (streamKind, string) {
	for _, kind := range streamKinds() {
		// Names of services in proto files have no dashes, so that each dash was a dot.
		if micro, ok := strings.CutPrefix(name, streamName(namespace, kind, "")); ok && micro != "" {
			return kind, strings.ReplaceAll(micro, "-", ".")
		}
	}
	return kindNone, ""
}

// wanted is what the runtime asks of a stream whatever the proto says of its size, its age
// and its replicas. A test compares it with the streams that the runtime makes.
type wanted struct {
	subjects      []string
	retention     jetstream.RetentionPolicy
	discard       jetstream.DiscardPolicy
	onePerSubject bool
	ttl           bool // messages say for how long they are kept
	direct        bool // direct get is needed
	schedules     bool // of a queue without a size
}

// wantEvents returns what the runtime asks of the stream of the events of a service. Once the
// number of partitions of an event was changed, the stream takes the subjects of the epochs in
// force.
func wantEvents(subjects wire.Subjects, service string, metadata map[string]string) wanted {
	w, changed := want(subjects, kindEvents, service), false
	var inForce []string
	for key := range metadata {
		if event, ok := strings.CutPrefix(key, wire.PartitionsKey("")); ok {
			numbers, next, _ := wire.Epochs(metadata, event)
			changed = changed || len(numbers) > 1 || next > 0
			if next == 0 {
				inForce = append(inForce, subjects.LogOf(service, event, max(len(numbers)-1, 0)))
			}
		}
	}
	if changed {
		slices.Sort(inForce)
		w.subjects = inForce
	}
	return w
}

// want returns what the runtime asks of a stream of a service.
func want(subjects wire.Subjects, kind streamKind, service string) wanted {
	w := wanted{retention: jetstream.LimitsPolicy, discard: jetstream.DiscardNew}
	switch kind {
	case kindEvents:
		w.subjects = []string{subjects.LogAll(service, "")}
	case kindCommands:
		w.subjects = subjects.Commands(service)
		w.retention, w.discard, w.schedules = jetstream.WorkQueuePolicy, jetstream.DiscardOld, true
	case kindResults:
		w.subjects = []string{subjects.ResultsAll(service)}
		w.onePerSubject, w.ttl, w.direct = true, true, true
	case kindDead:
		w.subjects = []string{subjects.DeadAll(service)}
	case kindAttempts:
		w.subjects = []string{subjects.TryAll(service)}
		w.onePerSubject = true
	case kindNone:
	}
	return w
}
