package spec

import (
	"regexp"
	"strings"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"

	aegisv1 "github.com/aegisrpc/aegis/proto/aegis/v1"
)

// The values of a service whose options give none.
const (
	DefaultVersion        = "0.0.0"
	DefaultTimeout        = 5 * time.Second
	DefaultMaxConcurrency = 256
)

// MaxNameLength is the longest full name of a service or a method. A method's name is
// part of subjects, and its service's name is part of names that NATS uses for files.
const MaxNameLength = 200

// MaxMaxConcurrency is the greatest max_concurrency: more than a process can use, and
// small enough that sums of several do not overflow.
const MaxMaxConcurrency = 1_000_000

// semver is the regular expression that https://semver.org recommends.
var semver = regexp.MustCompile(`^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)` +
	`(?:-((?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?` +
	`(?:\+([0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*))?$`)

// serviceContext is the part of a service that the checks of its methods read.
type serviceContext struct {
	at      Place
	opts    *aegisv1.ServiceOptions
	timeout time.Duration
}

func (c *checker) service(desc protoreflect.ServiceDescriptor) *Service {
	at := AtOptions(desc)
	opts, err := ServiceOptions(desc)
	if err != nil {
		c.addf(at, "%v; write it as aegis/v1/options.proto declares it", err)
		return nil
	}
	c.unknownFields(at, opts.ProtoReflect())
	c.serviceName(desc)
	s := &Service{
		Desc:           desc,
		Name:           string(desc.FullName()),
		Version:        c.version(at.Field("version"), opts.GetVersion()),
		MaxConcurrency: c.maxConcurrency(at.Field("max_concurrency"), opts),
	}
	sc := &serviceContext{at: at, opts: opts}
	sc.timeout = c.duration(at.Field("timeout"), opts.GetTimeout(), timeoutRange, DefaultTimeout)
	s.Timeout = sc.timeout
	if sa := opts.GetSingleActive(); sa != nil {
		c.group(at.Field("single_active").Field("group"), sa.GetGroup())
	}
	for i := range desc.Methods().Len() {
		if m := c.method(desc.Methods().Get(i), sc); m != nil {
			s.Methods = append(s.Methods, m)
		}
	}
	c.stores(s, sc)
	return s
}

// stores checks the options that need a method of a certain pattern: the election and
// the two storages.
func (c *checker) stores(s *Service, sc *serviceContext) {
	var elected, durable, commands bool
	for _, m := range s.Methods {
		elected = elected || m.Group != ""
		durable = durable || m.Event != nil && m.Event.Durable
		commands = commands || m.Command != nil
	}
	s.Election = c.election(sc.at.Field("election"), sc.opts.GetElection(), elected)
	s.EventStorage = c.eventStorage(sc.at.Field("event_storage"), sc.opts.GetEventStorage(), durable)
	s.CommandStorage = c.commandStorage(sc.at.Field("command_storage"), sc.opts.GetCommandStorage(), commands)
}

func (c *checker) serviceName(desc protoreflect.ServiceDescriptor) {
	name := string(desc.FullName())
	if len(name) > MaxNameLength {
		c.addf(At(desc), "the full name of the service has %d characters, and NATS names made of it would be too long; "+
			"shorten the names of package and service to %d in all", len(name), MaxNameLength)
	}
	if first, _, _ := strings.Cut(name, "."); first == "_void" {
		c.addf(At(desc), "where names begin with _void, Aegis probes for listeners; rename the package, or the service if it has none")
	}
}

func (c *checker) version(at Place, version string) string {
	if version == "" {
		return DefaultVersion
	}
	if !semver.MatchString(version) {
		c.addf(at, "%q is not a semantic version; write MAJOR.MINOR.PATCH without a leading v, such as \"1.4.0\"", version)
	}
	return version
}

func (c *checker) maxConcurrency(at Place, opts *aegisv1.ServiceOptions) int {
	if opts.MaxConcurrency == nil {
		return DefaultMaxConcurrency
	}
	return int(c.integer(at, uint64(opts.GetMaxConcurrency()), MaxMaxConcurrency))
}

// integer checks a number between 1 and most. It returns 1 if the number is wrong.
func (c *checker) integer(at Place, value, most uint64) uint64 {
	if value < 1 || value > most {
		c.addf(at, "%d is out of range; write 1 to %d", value, most)
		return 1
	}
	return value
}
