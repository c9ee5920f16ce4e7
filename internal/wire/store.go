package wire

import (
	"crypto/sha256"
	"encoding/hex"
	"hash/fnv"
	"strconv"
	"strings"
)

// The kinds of subjects of events, commands and what JetStream keeps of them.
const (
	KindEvent     = "evt"   // core events
	KindLog       = "log"   // durable events
	KindMembers   = "grp"   // who shares the partitions of a group
	KindCommand   = "cmd"   // commands
	KindCommandAt = "cmdat" // commands that are not due yet
	KindResult    = "res"   // progress, results and cancels of commands
	KindTold      = "told"  // the same, told by whoever has stored it
	KindDead      = "dead"  // dead letters
	KindTry       = "try"   // attempts of durable events
)

// Headers of stored messages.
const (
	HeaderMessageID = "Nats-Msg-Id"
	HeaderTTL       = "Nats-TTL"
	// HeaderSequence is on what is told of a cancel: its sequence in the stream.
	HeaderSequence = "Aegis-Sequence"
	// HeaderOnly names the one consumer that handles a dead letter which was put
	// back; all others acknowledge it at once.
	HeaderOnly = "Aegis-Only"

	HeaderDeadReason   = "Aegis-Dead-Reason"
	HeaderDeadAttempts = "Aegis-Dead-Attempts"
	HeaderDeadSubject  = "Aegis-Dead-Subject"
	HeaderDeadSequence = "Aegis-Dead-Sequence"
	HeaderDeadConsumer = "Aegis-Dead-Consumer"
	// HeaderDeadOmitted is how many bytes of data were too many to be kept.
	HeaderDeadOmitted = "Aegis-Dead-Omitted"
)

// Event is where a core event is published.
func (s Subjects) Event(service, method string) string {
	return join(s.ns, KindEvent, service, method)
}

// Log is where a durable event of a partition is published.
func (s Subjects) Log(service, method string, partition int) string {
	return join(s.ns, KindLog, service, method, strconv.Itoa(partition))
}

// LogAll covers the events of a method, or of a service if method is "".
func (s Subjects) LogAll(service, method string) string {
	if method == "" {
		return join(s.ns, KindLog, service, ">")
	}
	return join(s.ns, KindLog, service, method, "*")
}

// Members is where the instances of a group that share the partitions of an
// event say that they are there.
func (s Subjects) Members(service, method, group string) string {
	return join(s.ns, KindMembers, service, method, group)
}

// Dead is where a dead letter is published: id is that of a command, or the
// sequence of an event in its stream.
func (s Subjects) Dead(service, method, id string) string {
	return join(s.ns, KindDead, service, method, id)
}

// DeadAll covers the dead letters of a service.
func (s Subjects) DeadAll(service string) string { return join(s.ns, KindDead, service, ">") }

// Try is where the attempts of a durable event are recorded: consumer is its
// without a partition, and sequence that of the event in its stream.
func (s Subjects) Try(service, method, consumer string, sequence uint64) string {
	return join(s.ns, KindTry, service, method, consumer, strconv.FormatUint(sequence, 10))
}

// TryAll covers the attempts of all events of a service.
func (s Subjects) TryAll(service string) string { return join(s.ns, KindTry, service, ">") }

// EventStream is the stream of a service's durable events.
func EventStream(namespace, service string) string {
	return streamName(namespace, "events", service)
}

// DeadStream is the stream of a service's dead letters.
func DeadStream(namespace, service string) string {
	return streamName(namespace, "dead", service)
}

// AttemptStream is the stream of the attempts of a service's durable events.
func AttemptStream(namespace, service string) string {
	return streamName(namespace, "attempts", service)
}

func streamName(namespace, kind, service string) string {
	return namespace + "-" + kind + "-" + MicroName(service)
}

// maxConsumerName keeps the names of consumers, which are file names, short.
const maxConsumerName = 200

// GroupConsumer is the durable consumer that a group shares; InstanceConsumer
// that of one instance. No two pairs have the same name: a method's name has no
// dash.
func GroupConsumer(group, method string) string { return consumerName("g-" + group + "-" + method) }

// InstanceConsumer is the durable consumer of one instance.
func InstanceConsumer(instance, method string) string {
	return consumerName("i-" + instance + "-" + method)
}

// PartitionConsumer is the consumer of one partition of another one.
func PartitionConsumer(consumer string, partition int) string {
	return consumer + "-" + strconv.Itoa(partition)
}

// consumerName puts a hash in the place of a name's end that is too long.
func consumerName(name string) string {
	if len(name) <= maxConsumerName {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return name[:maxConsumerName-33] + "-" + hex.EncodeToString(sum[:16])
}

// Partition is the partition of a key: its FNV-1a hash of 64 bits, modulo the
// number of partitions.
func Partition(key string, partitions int) int {
	h := fnv.New64a()
	_, _ = h.Write([]byte(key)) // never fails
	return int(h.Sum64() % uint64(partitions))
}

// PartitionsKey is the key in a stream's metadata under which the number of
// partitions of an event is kept.
func PartitionsKey(method string) string { return "aegis.partitions." + method }

// ValidSubject reports whether a subject has no wildcards, empty tokens or white
// space.
func ValidSubject(subject string) bool {
	for token := range strings.SplitSeq(subject, ".") {
		if token == "" || strings.ContainsAny(token, "*> \t\r\n") {
			return false
		}
	}
	return true
}
