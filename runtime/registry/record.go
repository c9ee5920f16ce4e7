package registry

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aegisrpc/aegis/internal/wire"
)

const (
	// RecordVersion is the version that is written and the newest that is read. A field that
	// older watchers can do without makes no new version: they ignore fields that they do
	// not know, as a rolling update would else hide the updated instances from them.
	RecordVersion = 1

	// MinHeartbeat is the shortest interval of heartbeats.
	MinHeartbeat = 100 * time.Millisecond
	// MaxHeartbeat is the longest interval of heartbeats.
	MaxHeartbeat = time.Minute
	// DefaultHeartbeat is the interval of servers that set none.
	DefaultHeartbeat = 2 * time.Second

	// MaxMethods is how many bytes the names of [Record.Methods] may take. The
	// record of a service with more leaves them out.
	MaxMethods = 4 << 10
	// MaxPatterns is the same for the names in [Record.Patterns], methods and
	// patterns.
	MaxPatterns = 2 << 10
	// LoadBalanced is the pattern of methods that are not among the patterns.
	LoadBalanced = "load_balanced"

	maxRecordSize = 16 << 10
	maxLeads      = 256
	maxName       = 64
	maxService    = 200
	maxVersion    = 128
	maxNumber     = 1<<53 - 1 // JSON keeps larger integers not everywhere
)

// ErrInvalidRecord is wrapped by the errors for values that are no record of a version
// that this package knows: those of other programs, of newer versions, and corrupt ones.
// Watchers skip such values.
var ErrInvalidRecord = errors.New("registry: not a valid record")

// Record has the facts that an instance tells about itself, for one of its services.
type Record struct {
	// Condition has the troubles of the instance.
	Condition
	// Origin says where the process runs, and what it is a copy of.
	Origin

	// Service and Instance are the key: the service's full name and the name of
	// the instance.
	Service, Instance string
	// Process identifies the process; each start makes another one.
	Process string
	// Incarnation orders the processes that use one name after another; see
	// [NextIncarnation].
	Incarnation uint64
	// Change orders the records of one process: each new one is greater.
	Change uint64
	// State is the stage of the instance's life.
	State State
	// Version is the version of the service, from its proto.
	Version string
	// Started is when the process started by its own clock, for people.
	Started time.Time
	// Heartbeat is the interval of its heartbeats, in whole milliseconds.
	Heartbeat time.Duration
	// Leads are the single active groups that it leads, by name.
	Leads []Lead
	// Methods are the methods of the service that the instance serves, in order; nil if they
	// are not known. A process never changes them.
	Methods []string
	// Patterns are the patterns of the service's methods as the instance knows them, also of
	// methods that it does not serve. Methods that are load balanced are left out. nil if
	// they are not known.
	Patterns map[string]string
	// Descriptors is the hash of the descriptors of the service that the instance serves; ""
	// if it serves none.
	Descriptors string
	// Reserved says that the instance takes only calls that name it, or choose it by a label.
	Reserved bool
}

// Serves reports whether the instance has the method, as far as that is known.
func (r *Record) Serves(method string) bool {
	if r.Methods == nil {
		return true
	}
	_, ok := slices.BinarySearch(r.Methods, method)
	return ok
}

// Pattern returns the pattern of a method as the instance knows it; false if the record
// does not say.
func (r *Record) Pattern(method string) (string, bool) {
	if p, ok := r.Patterns[method]; ok || r.Patterns == nil {
		return p, ok
	}
	_, ok := slices.BinarySearch(r.Methods, method)
	return LoadBalanced, ok
}

// Condition has the troubles that an instance has found out about itself. The zero
// Condition says that all is well.
type Condition struct {
	// Unhealthy says that a check finds that the instance should not be picked.
	Unhealthy bool
	// NoRespondersHidden says that NATS does not tell the instance when nobody listens, see
	// the void probe in docs/protocol.md.
	NoRespondersHidden bool
}

// Lead is the leadership of an instance in one group.
type Lead struct {
	Group string
	Term  uint64
	// Since is when the term began by the leader's clock, for people.
	Since time.Time
}

// Encode returns the record as JSON. It returns an error for a record that
// [Decode] would not accept.
func (r *Record) Encode() ([]byte, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	return r.body().Encode()
}

// body returns the record as it travels.
func (r *Record) body() *wire.Instance {
	version := RecordVersion
	out := &wire.Instance{
		Version: &version, Service: r.Service, Instance: r.Instance, Process: r.Process,
		Incarnation: r.Incarnation, Change: r.Change, State: string(r.State), ServiceVersion: r.Version,
		Started: r.Started.UTC(), HeartbeatMS: r.Heartbeat.Milliseconds(), Methods: r.Methods, Patterns: r.Patterns, Descriptors: r.Descriptors,
		Unhealthy: r.Unhealthy, Hidden: r.NoRespondersHidden,
		Zone: r.Zone, Node: r.Node, Build: r.Build, Labels: r.Labels, Reserved: r.Reserved,
	}
	for _, l := range r.Leads {
		out.Leads = append(out.Leads, wire.InstanceLead{Group: l.Group, Term: l.Term, Since: l.Since.UTC()})
	}
	return out
}

// Decode reads the record of a key. Errors wrap [ErrInvalidRecord] and say
// whether the value is foreign, corrupt or of a newer version.
func Decode(service, instance string, data []byte) (*Record, error) {
	if len(data) > maxRecordSize {
		return nil, invalid("foreign: it has %d bytes, a record at most %d", len(data), maxRecordSize)
	}
	in, err := wire.DecodeInstance(data)
	if err != nil {
		return nil, explain(data, err)
	}
	return recordOf(in, service, instance)
}

// explain returns the error for data that cannot be read. In a newer version fields may
// have other types.
func explain(data []byte, err error) error {
	version := wire.InstanceVersion(data)
	switch {
	case version == nil:
		return invalid("foreign: %v", err)
	case *version > RecordVersion:
		return future(*version)
	}
	return invalid("corrupt: %v", err)
}

// ProcessOf returns the process that a value names which is no record of this version; ""
// if it names none.
func ProcessOf(data []byte) string {
	process := wire.InstanceProcess(data)
	if !validToken(process) {
		return ""
	}
	return process
}

// recordOf makes a record of a body that came under the key of an instance.
func recordOf(in *wire.Instance, service, instance string) (*Record, error) {
	switch {
	case in.Version == nil || in.Process == "":
		return nil, invalid(`foreign: it has no "v" and "process"`)
	case *in.Version > RecordVersion:
		return nil, future(*in.Version)
	case *in.Version < 1:
		return nil, invalid("corrupt: version %d does not exist", *in.Version)
	case in.Service != service || in.Instance != instance:
		return nil, invalid("corrupt: it is of %.200q and %.200q, not of its key %s.%s", in.Service, in.Instance, service, instance)
	case in.HeartbeatMS < MinHeartbeat.Milliseconds() || in.HeartbeatMS > MaxHeartbeat.Milliseconds():
		return nil, invalid("corrupt: heartbeat_ms is %d", in.HeartbeatMS)
	}
	r := &Record{
		Service: service, Instance: instance, Process: in.Process,
		Incarnation: in.Incarnation, Change: in.Change, State: State(in.State), Version: in.ServiceVersion,
		Started: in.Started, Heartbeat: time.Duration(in.HeartbeatMS) * time.Millisecond, Methods: in.Methods, Patterns: in.Patterns, Descriptors: in.Descriptors,
		Condition: Condition{Unhealthy: in.Unhealthy, NoRespondersHidden: in.Hidden},
		Origin:    Origin{Zone: in.Zone, Node: in.Node, Build: in.Build, Labels: in.Labels}, Reserved: in.Reserved,
	}
	for _, l := range in.Leads {
		r.Leads = append(r.Leads, Lead(l))
	}
	return r, r.check()
}

// check returns an error for a record that no instance writes.
func (r *Record) check() error {
	switch {
	case !ValidService(r.Service):
		return invalid("corrupt: service %.200q is no name of a service", r.Service)
	case !validToken(r.Instance):
		return invalid("corrupt: instance %.100q is no name", r.Instance)
	case !validToken(r.Process):
		return invalid("corrupt: process %.100q is no name", r.Process)
	case r.Incarnation == 0 || r.Incarnation > maxNumber || r.Change == 0 || r.Change > maxNumber:
		return invalid("corrupt: incarnation %d or change %d is out of range", r.Incarnation, r.Change)
	case !r.State.valid():
		return invalid("corrupt: state %.100q does not exist", r.State)
	case len(r.Version) > maxVersion:
		return invalid("corrupt: a version of %d characters", len(r.Version))
	case r.Heartbeat < MinHeartbeat || r.Heartbeat > MaxHeartbeat:
		return invalid("corrupt: heartbeat %v is out of range", r.Heartbeat)
	case r.Descriptors != "" && !validToken(r.Descriptors):
		return invalid("corrupt: descriptors %.100q is no hash", r.Descriptors)
	case len(r.Leads) > maxLeads:
		return invalid("corrupt: it leads %d groups, at most %d are possible", len(r.Leads), maxLeads)
	}
	if err := checkLeads(r.Leads); err != nil {
		return err
	}
	if err := checkMethods(r.Methods); err != nil {
		return err
	}
	if err := checkPatterns(r.Patterns); err != nil {
		return err
	}
	return r.Validate()
}

// checkPatterns takes patterns that it does not know: later versions may have others.
func checkPatterns(patterns map[string]string) error {
	size := 0
	for method, pattern := range patterns {
		size += len(method) + len(pattern)
		switch {
		case !wire.ValidMethod(method):
			return invalid("corrupt: method %.100q is no name", method)
		case pattern == "" || strings.ContainsFunc(pattern, func(c rune) bool { return c <= ' ' || c >= 0x7f }):
			return invalid("corrupt: pattern %.100q is no name", pattern)
		case size > MaxPatterns:
			return invalid("corrupt: its patterns take more than %d bytes", MaxPatterns)
		}
	}
	return nil
}

func checkMethods(methods []string) error {
	size := 0
	for i, m := range methods {
		size += len(m)
		switch {
		case !wire.ValidMethod(m):
			return invalid("corrupt: method %.100q is no name", m)
		case i > 0 && methods[i-1] >= m:
			return invalid("corrupt: methods are not in order")
		case size > MaxMethods:
			return invalid("corrupt: the names of its methods take more than %d bytes", MaxMethods)
		}
	}
	return nil
}

func checkLeads(leads []Lead) error {
	for i, l := range leads {
		switch {
		case !validToken(l.Group):
			return invalid("corrupt: group %.100q is no name", l.Group)
		case l.Term == 0 || l.Term > maxNumber:
			return invalid("corrupt: term %d is out of range", l.Term)
		case i > 0 && leads[i-1].Group >= l.Group:
			return invalid("corrupt: groups are not in order")
		}
	}
	return nil
}

// WithLead returns the leads with one more, or with another term of its group.
// The old slice is not changed.
func WithLead(leads []Lead, lead Lead) []Lead {
	out := append(WithoutLead(leads, lead.Group), lead)
	slices.SortFunc(out, func(a, b Lead) int { return strings.Compare(a.Group, b.Group) })
	return out
}

// WithoutLead returns the leads without a group. The old slice is not changed.
func WithoutLead(leads []Lead, group string) []Lead {
	var out []Lead
	for _, l := range leads {
		if l.Group != group {
			out = append(out, l)
		}
	}
	return out
}

// NextIncarnation is the incarnation of a process that takes a name over from
// one of the given incarnation, 0 if none is known: the wall clock's
// microseconds, but always greater.
func NextIncarnation(previous uint64, wall time.Time) uint64 {
	next := uint64(max(wall.UnixMicro(), 1))
	return min(max(next, previous+1), maxNumber)
}

// ValidService reports whether a name can be the full name of a service.
func ValidService(name string) bool {
	if service, _ := wire.ParseSubscribers(name); name == "" || len(service) > maxService {
		return false
	}
	for token := range strings.SplitSeq(name, ".") {
		if token == "" || strings.ContainsFunc(token, func(c rune) bool { return !alphanumeric(c) && c != '_' }) {
			return false
		}
	}
	return true
}

// validToken reports whether a name can be one token of a subject.
func validToken(name string) bool {
	return name != "" && len(name) <= maxName &&
		!strings.ContainsFunc(name, func(c rune) bool { return !alphanumeric(c) && c != '-' && c != '_' })
}

func alphanumeric(c rune) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

func future(version int) error {
	return invalid("version %d, and this program knows %d; update it", version, RecordVersion)
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalidRecord, fmt.Sprintf(format, args...))
}
