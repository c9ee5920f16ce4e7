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
	KindRetired   = "gone"  // the ends of epochs of durable events
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
	// HeaderDeadHash is the hash of the key of an event, by which it is put back into the
	// partition that its key has then.
	HeaderDeadHash = "Aegis-Dead-Hash"
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

// LogIn is Log in an epoch: 0 until the number of partitions of the event was changed for the
// first time, and one more with each change.
func (s Subjects) LogIn(service, method string, epoch, partition int) string {
	if epoch == 0 {
		return s.Log(service, method, partition)
	}
	return join(s.ns, KindLog, service, method, strconv.Itoa(epoch), strconv.Itoa(partition))
}

// LogOf covers the events of a method in an epoch.
func (s Subjects) LogOf(service, method string, epoch int) string {
	if epoch == 0 {
		return s.LogAll(service, method)
	}
	return join(s.ns, KindLog, service, method, strconv.Itoa(epoch), "*")
}

// LogEver covers the events of a method in all epochs.
func (s Subjects) LogEver(service, method string) string {
	return join(s.ns, KindLog, service, method, ">")
}

// ParseLog returns the epoch and the partition of a subject of LogIn.
func (s Subjects) ParseLog(service, method, subject string) (epoch, partition int, ok bool) {
	rest, ok := strings.CutPrefix(subject, join(s.ns, KindLog, service, method)+".")
	if !ok {
		return 0, 0, false
	}
	return parseEpochPartition(rest, ".")
}

// LogRetired is a subject of nobody, which the stream of RetiredStream has until it takes the
// subjects of LogOf.
func (s Subjects) LogRetired(service, method string, epoch int) string {
	return join(s.ns, KindRetired, service, method, strconv.Itoa(epoch))
}

// LogEnd is the subject of the message that is stored behind all events of an epoch.
func (s Subjects) LogEnd(service, method string, epoch int) string {
	return join(s.ns, KindRetired, service, method, strconv.Itoa(epoch), "end")
}

// parseIndex reads a number that is not negative, as strconv.Itoa writes it.
func parseIndex(text string) (int, bool) {
	n, err := strconv.Atoi(text)
	return n, err == nil && n >= 0 && strconv.Itoa(n) == text
}

// LogAll covers the events of a method in epoch 0, or all events of a service if method is "".
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

// Repartitioned is the subject on which the subscribers of an event hear that its number of
// partitions was changed.
func (s Subjects) Repartitioned(service, method string) string {
	return join(s.ns, KindMembers, service, method)
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

// RetiredStream is the name of the stream that has the subjects of an event's former epoch,
// and refuses what is published there.
func RetiredStream(namespace, service, method string, epoch int) string {
	return streamName(namespace, "retired", service) + "-" + method + "-" + strconv.Itoa(epoch)
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

// EpochConsumer is the name of the consumer of one partition in an epoch: that of the consumer
// of the whole event, with both, or with the partition alone in epoch 0. Nothing else that has
// a number in it follows a dash, as a method's name begins with no digit.
func EpochConsumer(consumer string, epoch, partition int) string {
	if epoch == 0 {
		return consumer + "-" + strconv.Itoa(partition)
	}
	return consumer + "-" + strconv.Itoa(epoch) + "_" + strconv.Itoa(partition)
}

// ParseEpochPartition reads what EpochConsumer puts behind the last dash.
func ParseEpochPartition(text string) (epoch, partition int, ok bool) {
	return parseEpochPartition(text, "_")
}

// parseEpochPartition reads an epoch and a partition, or a partition of epoch 0 alone.
func parseEpochPartition(text, separator string) (epoch, partition int, ok bool) {
	first, last, later := strings.Cut(text, separator)
	if later {
		if epoch, ok = parseIndex(first); !ok || epoch == 0 {
			return 0, 0, false
		}
		text = last
	}
	partition, ok = parseIndex(text)
	return epoch, partition, ok
}

// consumerName replaces the end of a name that is too long by a hash.
func consumerName(name string) string {
	if len(name) <= maxConsumerName {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return name[:maxConsumerName-33] + "-" + hex.EncodeToString(sum[:16])
}

// Partition returns the partition of a key by its hash: the hash modulo the number of
// partitions.
func Partition(hash uint64, partitions int) int { return int(hash % uint64(partitions)) }

// KeyHash returns the FNV-1a hash of a key, of 64 bits.
func KeyHash(key string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(key)) // never fails
	return h.Sum64()
}

// PartitionsKey is the key in a stream's metadata that has the number of partitions of an
// event that is in force.
func PartitionsKey(method string) string { return "aegis.partitions." + method }

// EpochsKey is the key in a stream's metadata that has all numbers of partitions that an event
// has had, once there was more than one.
func EpochsKey(method string) string { return "aegis.epochs." + method }

// MostPartitions is the largest number of partitions.
const MostPartitions = 1024

// Epochs reads the numbers of partitions that an event has had in the metadata of its stream,
// the one in force last, and the number that is about to follow; 0 if there is none. An event
// without a key has no numbers, and no event has in streams of NATS before 2.10. It returns
// false if the metadata cannot be read.
func Epochs(metadata map[string]string, method string) (numbers []int, next int, ok bool) {
	text, changed := metadata[EpochsKey(method)]
	if !changed {
		text = metadata[PartitionsKey(method)]
	}
	for word := range strings.FieldsSeq(text) {
		number, about := strings.CutSuffix(word, "?")
		n, err := strconv.Atoi(number)
		switch {
		case err != nil || n < 1 || n > MostPartitions || next != 0:
			return nil, 0, false
		case about:
			next = n
		default:
			numbers = append(numbers, n)
		}
	}
	return numbers, next, len(numbers) > 0 || next == 0
}

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
