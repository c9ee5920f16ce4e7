// Package wire holds what travels as docs/protocol.md describes it: subjects, headers,
// reasons, limits, and the JSON bodies of messages that are no calls. Nothing else
// spells them. It knows nothing of NATS, so that the pure packages can use it.
package wire

import (
	"strconv"
	"strings"
	"time"
)

// DefaultNamespace starts every subject unless the connection names another.
const DefaultNamespace = "aegis"

// Queue is the queue group in which the instances of a service share its calls.
const Queue = "aegis"

// The kinds of subjects; a kind follows the namespace.
const (
	KindCall     = "call"
	KindInstance = "inst"
	KindCancel   = "cancel"
	KindLive     = "live"
	KindLead     = "lead"
	KindWho      = "who"
	KindLed      = "led"
	KindBeat     = "beat"
	KindIn       = "in"
	KindAll      = "all"
)

// NoMethod stands in the place of a method, and is the name of none: names of methods have
// no dashes. An instance answers it as it does any method that it lacks.
const NoMethod = "-"

// Headers of Aegis, and those of others that Aegis reads and writes. NATS takes names that
// differ in the case of letters for different headers.
const (
	HeaderTimeout          = "Aegis-Timeout"
	HeaderReason           = "Aegis-Reason"
	HeaderAttempt          = "Aegis-Attempt"
	HeaderTerm             = "Aegis-Term"
	HeaderWindow           = "Aegis-Window"
	HeaderInstance         = "Aegis-Instance"
	HeaderChunked          = "Aegis-Chunked"
	HeaderContentType      = "Content-Type"
	HeaderServiceError     = "Nats-Service-Error"
	HeaderServiceErrorCode = "Nats-Service-Error-Code"
)

// Content types. A message without content type is protobuf.
const (
	ContentTypeProtobuf = "application/protobuf"
	ContentTypeJSON     = "application/json"
)

// Reasons of errors, which a reply has beside the code.
const (
	ReasonOverloaded = "OVERLOADED"
	ReasonRefused    = "REFUSED" // by an interceptor
	ReasonStopping   = "STOPPING"
	ReasonStale      = "STALE"
	ReasonTooLarge   = "TOO_LARGE"

	ReasonNoMethod = "NO_METHOD"

	ReasonNotActive      = "NOT_ACTIVE"
	ReasonLeadershipLost = "LEADERSHIP_LOST"
)

// Limits.
const (
	MinTimeout       = time.Millisecond
	MaxTimeout       = 24 * time.Hour
	MaxMetadataBytes = 8 << 10
)

// The window of a stream whose open names no other one: how many messages, and how many
// bytes in them, the server may send before the client gives it more credit.
const (
	DefaultWindowMessages = 16384
	DefaultWindowBytes    = 2 << 20
	// MaxWindow bounds both.
	MaxWindow = 1 << 30
)

// Subjects builds the subjects of one namespace.
type Subjects struct{ ns string }

// NewSubjects returns the subjects of a namespace.
func NewSubjects(namespace string) Subjects { return Subjects{ns: namespace} }

// Call is the subject of the calls of a method that the instances share.
func (s Subjects) Call(service, method string) string {
	return join(s.ns, KindCall, service, method)
}

// Instance is the subject of the calls of a method that one instance is to handle.
func (s Subjects) Instance(instance, service, method string) string {
	return join(s.ns, KindInstance, instance, service, method)
}

// Cancel is the subject on which callers of a service say that they wait no longer.
func (s Subjects) Cancel(service string) string { return join(s.ns, KindCancel, service) }

// Live is the subject on which a process is asked whether it lives, and below which a
// candidate hears itself.
func (s Subjects) Live(process string) string { return join(s.ns, KindLive, process) }

// All is the subject of the calls of a method that all instances handle.
func (s Subjects) All(service, method string) string { return join(s.ns, KindAll, service, method) }

// In is the subject on which a server's process receives the messages of its clients'
// streams; the token of the stream follows.
func (s Subjects) In(process string) string { return join(s.ns, KindIn, process, "") }

// Lead is the subject of the calls of a method that the leader of one term handles.
func (s Subjects) Lead(service, method, group string, term uint64) string {
	return join(s.ns, KindLead, service, method, group, strconv.FormatUint(term, 10))
}

// LeadAny is the same for plain NATS clients, in whatever term.
func (s Subjects) LeadAny(service, method, group string) string {
	return join(s.ns, KindLead, service, method, group, "any")
}

// Who is the subject on which candidates are asked who leads.
func (s Subjects) Who(service, group string) string { return join(s.ns, KindWho, service, group) }

// Led is the subject on which a new leader says that it serves.
func (s Subjects) Led(service, group string) string { return join(s.ns, KindLed, service, group) }

// LedAll covers the Led subjects of all groups.
func (s Subjects) LedAll() string { return s.Kind(KindLed) }

// ParseLed reads service and group out of a Led subject of this namespace.
func (s Subjects) ParseLed(subject string) (service, group string, ok bool) {
	rest, ok := strings.CutPrefix(subject, join(s.ns, KindLed, ""))
	if !ok {
		return "", "", false
	}
	return ParseRegistryKey(rest)
}

// Beat is the subject of the heartbeats of an instance of a service.
func (s Subjects) Beat(service, instance string) string {
	return join(s.ns, KindBeat, service, instance)
}

// Beats covers the Beat subjects of all instances of a service, or of all
// services if it is "".
func (s Subjects) Beats(service string) string {
	if service == "" {
		return join(s.ns, KindBeat, ">")
	}
	return s.Beat(service, "*")
}

// ParseBeat reads service and instance out of a Beat subject of this namespace.
func (s Subjects) ParseBeat(subject string) (service, instance string, ok bool) {
	rest, ok := strings.CutPrefix(subject, join(s.ns, KindBeat, ""))
	if !ok {
		return "", "", false
	}
	return ParseRegistryKey(rest)
}

// LeaderBucket is the KV bucket of a namespace that has the records of leaders.
func LeaderBucket(namespace string) string { return namespace + "-leaders" }

// LeaderKey is the key of a group in that bucket. It ends with when the bucket was created, in
// nanoseconds since 1970: a write that was meant for a deleted bucket finds no revision to go
// over in the bucket that was made in its place.
func LeaderKey(service, group string, created int64) string {
	return join(service, group, strconv.FormatInt(created, 10))
}

// ParseLeaderKey reads service, group and creation out of a key.
func ParseLeaderKey(key string) (service, group, created string, ok bool) {
	i := strings.LastIndexByte(key, '.')
	if i < 0 {
		return "", "", "", false
	}
	service, group, ok = ParseRegistryKey(key[:i])
	return service, group, key[i+1:], ok
}

// RegistryBucket is the KV bucket of a namespace that has the records of instances.
func RegistryBucket(namespace string) string { return namespace + "-registry" }

// RegistryKey is the key of an instance in that bucket.
func RegistryKey(service, instance string) string { return join(service, instance) }

// ParseRegistryKey reads the service and the instance out of a key.
func ParseRegistryKey(key string) (service, instance string, ok bool) {
	i := strings.LastIndexByte(key, '.')
	if i <= 0 || i == len(key)-1 {
		return "", "", false
	}
	return key[:i], key[i+1:], true
}

// subscribers ends the name under which the subscribers to the events of a service are
// registered. Protobuf allows no such token below the name of a service. Watchers of the
// service itself do not see that name: its instances are no servers that could be called.
const subscribers = "._events"

// SubscribersOf is the name under which the subscribers to the events of a service are
// registered.
func SubscribersOf(service string) string { return service + subscribers }

// ParseSubscribers returns the service to whose events the name belongs. ok is false for any
// other name, which it returns as it is.
func ParseSubscribers(name string) (service string, ok bool) {
	return strings.CutSuffix(name, subscribers)
}

// MicroName is the name of a service in NATS micro, which allows no dots. Names in proto
// files have no dashes, so that no two services get the same one.
func MicroName(service string) string { return strings.ReplaceAll(service, ".", "-") }

// Void is a subject of a kind that never has a subscription.
func (s Subjects) Void(kind, id string) string { return join(s.ns, kind, "_void", id) }

// Kind returns the pattern of all subjects of a kind.
func (s Subjects) Kind(kind string) string { return join(s.ns, kind, ">") }

func join(tokens ...string) string { return strings.Join(tokens, ".") }

// ValidNamespace reports whether a namespace is made of 1 to 32 characters of
// A-Z a-z 0-9 _.
func ValidNamespace(ns string) bool { return validToken(ns, 32, false) }

// ValidInstance reports whether an instance name is made of 1 to 64 characters
// of A-Z a-z 0-9 _ -.
func ValidInstance(name string) bool { return validToken(name, 64, true) }

// ValidMethod reports whether a name can be that of a method in a proto, however long it is.
func ValidMethod(name string) bool { return validToken(name, len(name), false) }

func validToken(s string, most int, dash bool) bool {
	if s == "" || len(s) > most {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !IsAlphanumeric(c) && c != '_' && (!dash || c != '-') {
			return false
		}
	}
	return true
}

// IsAlphanumeric reports whether a byte is one of A-Z a-z 0-9.
func IsAlphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// Reply subjects. The last token of a reply subject is the slot of the call and the
// generation of the slot, in base 36, with a tilde between them: _INBOX.<nuid>.7~1f. The
// tilde, which the tokens of streams and of many replies have as well, tells such callers
// from plain NATS clients, which are never asked whether they are still there.

// AppendReplyToken appends the last token of a reply subject.
func AppendReplyToken(b []byte, slot, generation uint64) []byte {
	b = strconv.AppendUint(b, slot, 36)
	b = append(b, '~')
	return strconv.AppendUint(b, generation, 36)
}

// ParseReplyToken reads a token of AppendReplyToken.
func ParseReplyToken(token string) (slot, generation uint64, ok bool) {
	before, after, ok := strings.Cut(token, "~")
	if !ok {
		return 0, 0, false
	}
	if slot, ok = parseBase36(before); !ok {
		return 0, 0, false
	}
	generation, ok = parseBase36(after)
	return slot, generation, ok
}

func parseBase36(s string) (n uint64, ok bool) {
	if s == "" || len(s) > 12 {
		return 0, false
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= '0' && c <= '9':
			n = n*36 + uint64(c-'0')
		case c >= 'a' && c <= 'z':
			n = n*36 + uint64(c-'a') + 10
		default:
			return 0, false
		}
	}
	return n, true
}

// CallerAlive returns the subject on which the sender of a request can be asked whether it
// is still there, or "" if the reply subject has not the form of such senders.
func CallerAlive(reply string) string {
	i := strings.LastIndexByte(reply, '.')
	if i <= 0 {
		return ""
	}
	if _, _, ok := ParseReplyToken(reply[i+1:]); !ok {
		if _, ok := parseNumbered('B', reply[i+1:]); !ok {
			if _, ok := ParseStreamToken(reply[i+1:]); !ok {
				return ""
			}
		}
	}
	return reply[:i] + "." + CallerAliveToken
}

// CallerAliveToken is the last token of the subject that CallerAlive returns.
const CallerAliveToken = "live"

// Subjects of streams. The last token of the subject on which one end of a stream hears the
// other one is S, a tilde and the number of the stream in its process, in base 36:
// _INBOX.<nuid>.S~7, aegis.in.<process>.S~1f. A process that uses that form is asked at the
// token live, beside it, whether it is still there.

// AppendStreamToken appends the last token of the subject of a stream.
func AppendStreamToken(b []byte, id uint64) []byte {
	return strconv.AppendUint(append(b, "S~"...), id, 36)
}

// ParseStreamToken reads a token of AppendStreamToken.
func ParseStreamToken(token string) (id uint64, ok bool) {
	return parseNumbered('S', token)
}

func parseNumbered(letter byte, token string) (id uint64, ok bool) {
	if len(token) < 2 || token[0] != letter || token[1] != '~' {
		return 0, false
	}
	return parseBase36(token[2:])
}

// CollectToken is the last token of a reply subject on which many replies may come: B, a
// tilde and a number in base 36.
func CollectToken(id uint64) string { return "B~" + strconv.FormatUint(id, 36) }

// FormatWindow returns the value of HeaderWindow.
func FormatWindow(messages, bytes uint64) string {
	return strconv.FormatUint(messages, 10) + "," + strconv.FormatUint(bytes, 10)
}

// ParseWindow reads the value of HeaderWindow.
func ParseWindow(s string) (messages, bytes uint64, ok bool) {
	m, b, ok := strings.Cut(s, ",")
	if !ok {
		return 0, 0, false
	}
	messages, err := strconv.ParseUint(m, 10, 64)
	if err != nil {
		return 0, 0, false
	}
	bytes, err = strconv.ParseUint(b, 10, 64)
	ok = err == nil && messages >= 1 && messages <= MaxWindow && bytes >= 1 && bytes <= MaxWindow
	return messages, bytes, ok
}

// ParseTimeout reads the value of HeaderTimeout.
func ParseTimeout(s string) (time.Duration, bool) {
	ms, err := strconv.ParseInt(s, 10, 64)
	if err != nil || ms < 1 || ms > MaxTimeout.Milliseconds() || s[0] == '+' {
		return 0, false
	}
	return time.Duration(ms) * time.Millisecond, true
}

// FormatTimeout returns the value of HeaderTimeout for the time that is left until a
// deadline: rounded up, so that a server never gives up before its caller, and within the
// limits.
func FormatTimeout(left time.Duration) string {
	return strconv.FormatInt(TimeoutMillis(left), 10)
}

// TimeoutMillis returns left in whole milliseconds, rounded up, within the limits.
func TimeoutMillis(left time.Duration) int64 {
	left = min(max(left, MinTimeout), MaxTimeout)
	return int64((left + time.Millisecond - 1) / time.Millisecond)
}
