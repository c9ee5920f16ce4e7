package wire

import (
	"crypto/sha256"
	"encoding/hex"
	"hash/fnv"
	"strconv"
	"strings"
)

// The kinds of subjects of events and commands, and of the messages that are stored about
// them.
const (
	KindEvent     = "evt"   // core events
	KindLog       = "log"   // durable events
	KindMembers   = "grp"   // the members of a group that share its partitions
	KindCommand   = "cmd"   // commands
	KindCommandAt = "cmdat" // commands that are not due yet
	KindResult    = "res"   // progress, results and cancels of commands
	KindTold      = "told"  // the same, published again once they are stored
	KindDead      = "dead"  // dead letters
	KindTry       = "try"   // attempts of durable events
)

// Headers of stored messages.
const (
	HeaderMessageID = "Nats-Msg-Id"
	HeaderTTL       = "Nats-TTL"
	// HeaderSequence is the sequence of a cancel in its stream, where the cancel is told.
	HeaderSequence = "Aegis-Sequence"
	// HeaderOnly names the one consumer that handles a dead letter after it was put back; all
	// others acknowledge it at once.
	HeaderOnly = "Aegis-Only"

	HeaderDeadReason   = "Aegis-Dead-Reason"
	HeaderDeadAttempts = "Aegis-Dead-Attempts"
	HeaderDeadSubject  = "Aegis-Dead-Subject"
	HeaderDeadSequence = "Aegis-Dead-Sequence"
	HeaderDeadConsumer = "Aegis-Dead-Consumer"
	// HeaderDeadOmitted is the number of bytes of a message that was too large to be kept in
	// its dead letter.
	HeaderDeadOmitted = "Aegis-Dead-Omitted"
)

// Event is the subject to which a core event is published.
func (s Subjects) Event(service, method string) string {
	return join(s.ns, KindEvent, service, method)
}

// Log is the subject to which a durable event of a partition is published.
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

// Members is the subject on which the instances of a group that share the partitions of an
// event find each other.
func (s Subjects) Members(service, method, group string) string {
	return join(s.ns, KindMembers, service, method, group)
}

// Dead is the subject to which a dead letter is published: id is the id of a command, or the
// sequence of an event in its stream.
func (s Subjects) Dead(service, method, id string) string {
	return join(s.ns, KindDead, service, method, id)
}

// DeadAll covers the dead letters of a service.
func (s Subjects) DeadAll(service string) string { return join(s.ns, KindDead, service, ">") }

// Try is the subject to which the attempts of a durable event are published: consumer is
// the name of its consumer without a partition, and sequence that of the event in its
// stream.
func (s Subjects) Try(service, method, consumer string, sequence uint64) string {
	return join(s.ns, KindTry, service, method, consumer, strconv.FormatUint(sequence, 10))
}

// TryAll covers the attempts of all durable events of a service.
func (s Subjects) TryAll(service string) string { return join(s.ns, KindTry, service, ">") }

// EventStream is the name of the stream of a service's durable events.
func EventStream(namespace, service string) string {
	return streamName(namespace, "events", service)
}

// DeadStream is the name of the stream of a service's dead letters.
func DeadStream(namespace, service string) string {
	return streamName(namespace, "dead", service)
}

// AttemptStream is the name of the stream of the attempts of a service's durable events.
func AttemptStream(namespace, service string) string {
	return streamName(namespace, "attempts", service)
}

func streamName(namespace, kind, service string) string {
	return namespace + "-" + kind + "-" + MicroName(service)
}

// maxConsumerName bounds the names of consumers, which NATS uses as names of files.
const maxConsumerName = 200

// GroupConsumer is the name of the durable consumer that the instances of a group share. No
// two pairs of arguments make the same name, here and below: a method's name has no dash.
func GroupConsumer(group, method string) string { return consumerName("g-" + group + "-" + method) }

// InstanceConsumer is the name of the durable consumer of one instance.
func InstanceConsumer(instance, method string) string {
	return consumerName("i-" + instance + "-" + method)
}

// PartitionConsumer is the name of the consumer of one partition: that of the consumer of
// the whole event, with the partition.
func PartitionConsumer(consumer string, partition int) string {
	return consumer + "-" + strconv.Itoa(partition)
}

// consumerName replaces the end of a name that is too long by a hash.
func consumerName(name string) string {
	if len(name) <= maxConsumerName {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return name[:maxConsumerName-33] + "-" + hex.EncodeToString(sum[:16])
}

// Partition returns the partition of a key: its FNV-1a hash of 64 bits, modulo the number of
// partitions.
func Partition(key string, partitions int) int {
	h := fnv.New64a()
	_, _ = h.Write([]byte(key)) // never fails
	return int(h.Sum64() % uint64(partitions))
}

// PartitionsKey is the key in a stream's metadata that has the number of partitions of an
// event.
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
