package wire

import (
	"crypto/sha256"
	"encoding/base32"
	"strings"
)

// The levels of priority, as tokens of a command's subject. A command without a priority
// is normal.
const (
	LevelHigh   = "h"
	LevelNormal = "n"
	LevelLow    = "l"
)

// Levels returns all levels, the highest first.
func Levels() []string { return []string{LevelHigh, LevelNormal, LevelLow} }

// Headers of commands and their results.
const (
	// HeaderExpires is the time after which a command must not begin any more, in
	// milliseconds since 1970.
	HeaderExpires = "Aegis-Expires"
	// HeaderState says how a command has ended.
	HeaderState = "Aegis-State"
	// HeaderSend tells one command from others with the same id, as one key may be used for
	// several commands one after the other, and a dead letter may be put back. It is absent
	// where the id is used once.
	HeaderSend = "Aegis-Send"

	HeaderSchedule       = "Nats-Schedule"
	HeaderScheduleTarget = "Nats-Schedule-Target"
	// HeaderExpectedLast makes the stream refuse a message unless the last message of its
	// subject has this sequence.
	HeaderExpectedLast = "Nats-Expected-Last-Subject-Sequence"
	// HeaderExpectedSubject makes the messages of all subjects of this filter count for
	// HeaderExpectedLast.
	HeaderExpectedSubject = "Nats-Expected-Last-Subject-Sequence-Subject"
)

// The values of HeaderState: how a command has ended.
const (
	StateSucceeded = "SUCCEEDED"
	StateFailed    = "FAILED"
	StateCanceled  = "CANCELED"
	StateExpired   = "EXPIRED"
)

// ReasonExpired is the reason of a command that has not begun before its HeaderExpires.
const ReasonExpired = "EXPIRED"

// The last token of the subject of a message that is stored about a command.
const (
	ResultProgress = "progress"
	ResultResult   = "result"
	ResultStop     = "stop"
	ResultAttempts = "attempts"
)

// StopOver is the body of the message that takes the place of a cancel when its command has
// ended, so that the cancel does not count for a later command with the same key.
const StopOver = "over"

// KeyOwner is the owner, the first token of the id, of commands that were sent with a key.
const KeyOwner = "k"

// Command is the subject to which a command is published; id is its owner and its number.
func (s Subjects) Command(service, method, level, id string) string {
	return join(s.ns, KindCommand, service, method, level, id)
}

// CommandAt is the subject to which a command is published that is not due yet.
func (s Subjects) CommandAt(service, method, level, id string) string {
	return join(s.ns, KindCommandAt, service, method, level, id)
}

// IsCommandAt reports whether a command with this subject is not due yet.
func (s Subjects) IsCommandAt(subject string) bool {
	return strings.HasPrefix(subject, join(s.ns, KindCommandAt, ""))
}

// Commands cover all commands of a service, those that are due and the others.
func (s Subjects) Commands(service string) []string {
	return []string{join(s.ns, KindCommand, service, ">"), join(s.ns, KindCommandAt, service, ">")}
}

// CommandsOf covers the commands of a method and a level that are due.
func (s Subjects) CommandsOf(service, method, level string) string {
	return join(s.ns, KindCommand, service, method, level, "*", "*")
}

// Result is the subject to which the progress, the result or the cancel of a command is
// published: what is one of ResultProgress and the others.
func (s Subjects) Result(service, id, what string) string {
	return join(s.ns, KindResult, service, id, what)
}

// Told is the subject to which a message of Result is published again, once it is stored,
// by the process that has stored it.
func (s Subjects) Told(service, id, what string) string {
	return join(s.ns, KindTold, service, id, what)
}

// ResultsAll covers all messages about the commands of a service.
func (s Subjects) ResultsAll(service string) string { return join(s.ns, KindResult, service, ">") }

// CommandAnywhere covers a command of any level, due or not.
func (s Subjects) CommandAnywhere(service, method, id string) string {
	return join(s.ns, "*", service, method, "*", id)
}

// Stops covers the cancels of the commands of a service.
func (s Subjects) Stops(service string) string {
	return join(s.ns, KindResult, service, "*", "*", ResultStop)
}

// ParseCommandID reads the id of a command out of a subject in which skip tokens follow it.
func ParseCommandID(subject string, skip int) (id string, ok bool) {
	for range skip {
		i := strings.LastIndexByte(subject, '.')
		if i < 0 {
			return "", false
		}
		subject = subject[:i]
	}
	i := strings.LastIndexByte(subject, '.')
	if i < 0 {
		return "", false
	}
	j := strings.LastIndexByte(subject[:i], '.')
	id = subject[j+1:]
	return id, ValidCommandID(id)
}

// ValidCommandID reports whether an id has the form of an owner and a number: two tokens of
// up to 64 characters of A-Z a-z 0-9.
func ValidCommandID(id string) bool {
	owner, number, ok := strings.Cut(id, ".")
	return ok && alphanumeric(owner) && alphanumeric(number)
}

func alphanumeric(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		if !IsAlphanumeric(s[i]) {
			return false
		}
	}
	return true
}

// KeyedCommandID is the id of a command that is sent with a key, the same for all senders:
// the first 130 bits of the SHA-256 hash of method, a zero byte and key, in base32 without
// padding.
func KeyedCommandID(method, key string) string {
	sum := sha256.Sum256([]byte(method + "\x00" + key))
	return KeyOwner + "." + base32.StdEncoding.EncodeToString(sum[:])[:26]
}

// WorkerConsumer is the name of the durable consumer of a method's commands of a level.
func WorkerConsumer(method, level string) string { return consumerName("w-" + method + "-" + level) }

// CommandStream is the name of the stream of a service's commands.
func CommandStream(namespace, service string) string {
	return streamName(namespace, "commands", service)
}

// ResultStream is the name of the stream of their progress, results and cancels.
func ResultStream(namespace, service string) string {
	return streamName(namespace, "results", service)
}
