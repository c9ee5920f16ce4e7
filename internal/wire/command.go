package wire

import (
	"crypto/sha256"
	"encoding/base32"
	"strings"
)

// The levels of priority, as tokens of a command's subject. A command without
// one is normal.
const (
	LevelHigh   = "h"
	LevelNormal = "n"
	LevelLow    = "l"
)

// Levels are all levels, the highest first.
func Levels() []string { return []string{LevelHigh, LevelNormal, LevelLow} }

// Headers of commands and their results.
const (
	// HeaderExpires is when a command is not worth beginning any more, in
	// milliseconds since 1970.
	HeaderExpires = "Aegis-Expires"
	// HeaderState is how a command has ended.
	HeaderState = "Aegis-State"
	// HeaderSend tells one command from others with the same id: those that the
	// same key is used for one after the other, and those that are put back. It is
	// absent where the id is used once.
	HeaderSend = "Aegis-Send"

	HeaderSchedule       = "Nats-Schedule"
	HeaderScheduleTarget = "Nats-Schedule-Target"
	// HeaderExpectedLast has a message refused unless the last one of its subject
	// has this sequence.
	HeaderExpectedLast = "Nats-Expected-Last-Subject-Sequence"
	// HeaderExpectedSubject has all subjects of this filter count for that.
	HeaderExpectedSubject = "Nats-Expected-Last-Subject-Sequence-Subject"
)

// How a command has ended, as the value of HeaderState.
const (
	StateSucceeded = "SUCCEEDED"
	StateFailed    = "FAILED"
	StateCanceled  = "CANCELED"
	StateExpired   = "EXPIRED"
)

// ReasonExpired is why a command was not begun.
const ReasonExpired = "EXPIRED"

// What is stored beside a command, as the last token of its subject.
const (
	ResultProgress = "progress"
	ResultResult   = "result"
	ResultStop     = "stop"
	ResultAttempts = "attempts"
)

// StopOver is the body of what takes the place of a cancel when its command has
// ended, so that a later command with the same key is another one.
const StopOver = "over"

// KeyOwner is the owner of commands whose caller gave a key.
const KeyOwner = "k"

// Command is where a command is published; id is its owner and its number.
func (s Subjects) Command(service, method, level, id string) string {
	return join(s.ns, KindCommand, service, method, level, id)
}

// CommandAt is where a command is published that is not due yet.
func (s Subjects) CommandAt(service, method, level, id string) string {
	return join(s.ns, KindCommandAt, service, method, level, id)
}

// IsCommandAt reports whether a command with this subject is not due yet.
func (s Subjects) IsCommandAt(subject string) bool {
	return strings.HasPrefix(subject, join(s.ns, KindCommandAt, ""))
}

// Commands covers all commands of a service, and those that are not due yet.
func (s Subjects) Commands(service string) []string {
	return []string{join(s.ns, KindCommand, service, ">"), join(s.ns, KindCommandAt, service, ">")}
}

// CommandsOf covers the commands of a method and a level that are due.
func (s Subjects) CommandsOf(service, method, level string) string {
	return join(s.ns, KindCommand, service, method, level, "*", "*")
}

// Result is where something about a command is published: progress, the result,
// or that it is to stop.
func (s Subjects) Result(service, id, what string) string {
	return join(s.ns, KindResult, service, id, what)
}

// Told is where it is published again by whoever has stored it, once it is.
func (s Subjects) Told(service, id, what string) string {
	return join(s.ns, KindTold, service, id, what)
}

// ResultsAll covers all that is published about the commands of a service.
func (s Subjects) ResultsAll(service string) string { return join(s.ns, KindResult, service, ">") }

// CommandAnywhere covers a command of any level, due or not.
func (s Subjects) CommandAnywhere(service, method, id string) string {
	return join(s.ns, "*", service, method, "*", id)
}

// Stops covers the cancels of the commands of a service.
func (s Subjects) Stops(service string) string {
	return join(s.ns, KindResult, service, "*", "*", ResultStop)
}

// ParseCommandID reads the id out of the last tokens of a subject: skip tokens
// follow it.
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

// ValidCommandID reports whether an id is an owner and a number: two tokens of
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

// KeyedCommandID is the id of a command with a caller's key, whoever sends it:
// the first 130 bits of the SHA-256 hash of method, a zero byte and key, in
// base32 without padding.
func KeyedCommandID(method, key string) string {
	sum := sha256.Sum256([]byte(method + "\x00" + key))
	return KeyOwner + "." + base32.StdEncoding.EncodeToString(sum[:])[:26]
}

// WorkerConsumer is the durable consumer of a method's commands of a level.
func WorkerConsumer(method, level string) string { return consumerName("w-" + method + "-" + level) }

// CommandStream is the stream of a service's commands.
func CommandStream(namespace, service string) string {
	return streamName(namespace, "commands", service)
}

// ResultStream is the stream of their progress and results.
func ResultStream(namespace, service string) string {
	return streamName(namespace, "results", service)
}
