package aegis

import (
	"fmt"
	"maps"
	"strings"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/dial"
	"github.com/aegisrpc/aegis/runtime/internal/registrar"
	"github.com/aegisrpc/aegis/runtime/registry"
)

// Where a process runs and what it is a copy of: its servers tell it in the registry, and
// its clients prefer instances by it. Package aegisenv finds these options out.

// originOption returns an option that changes the origin of a connection.
func originOption(set func(o *registry.Origin)) ConnOption {
	return connOption(func(c *connConfig) error {
		set(&c.origin)
		if err := c.origin.Validate(); err != nil {
			return fmt.Errorf("%w: %s", ErrInvalidOption, strings.TrimPrefix(err.Error(), registry.ErrInvalidRecord.Error()+": "))
		}
		return nil
	})
}

// WithZone says in which zone the process runs, such as a zone of a cloud: at most 253 bytes
// without control characters. The servers of the connection announce it, and [PreferZone]
// and the proto's prefer_zone keep the calls of its clients within it. Default, and what ""
// means: unknown.
func WithZone(zone string) ConnOption {
	return originOption(func(o *registry.Origin) { o.Zone = zone })
}

// WithNode says on which machine the process runs, for people: at most 253 bytes without
// control characters. Default: unknown.
func WithNode(node string) ConnOption {
	return originOption(func(o *registry.Origin) { o.Node = node })
}

// WithBuild says which version of the program the process is, such as a tag or a commit,
// for people and for strategies of selection: at most 253 bytes without control characters.
// The version of a service is in its proto. Default: that of the program's module, or the
// commit, as the Go tool has noted it; unknown if it has not.
func WithBuild(version string) ConnOption {
	return originOption(func(o *registry.Origin) { o.Build = version })
}

// WithLabels says what else the process is, for people and for [WhereLabel]: at most 32
// labels, with keys of 1 to 317 bytes without spaces, "=" and ",", and values of at most 253
// bytes without control characters; zone, node, build and labels take at most 4096 bytes.
// The option adds to the labels of an earlier one, and wins over them.
func WithLabels(labels map[string]string) ConnOption {
	return originOption(func(o *registry.Origin) {
		merged := maps.Clone(o.Labels)
		if merged == nil {
			merged = make(map[string]string, len(labels))
		}
		maps.Copy(merged, labels)
		o.Labels = merged
	})
}

// WithReserved has the servers of the connection take only calls that name them, with
// [ToInstance], or choose them by a label, with [WhereLabel]: nothing else reaches them.
// They are in no queue group, answer no broadcast, take no commands and no events, and
// lead no group, so that single active methods answer NOT_ACTIVE. So a developer can run an
// instance beside those that serve, and be the only one who calls it.
func WithReserved() ConnOption {
	return connOption(func(c *connConfig) error {
		c.reserved = true
		return nil
	})
}

// InstanceOption is the option that WithInstance returns, for servers and connections.
type InstanceOption struct{ name string }

// WithInstance names the instance: 1 to 64 characters of A-Z a-z 0-9 _ -. The
// name must be unique among the running instances of a service. As an option of a
// connection it names the instances of the servers that have none of their own. Default, and
// what "" means: the first label of the host's name and six random characters; Connect makes up
// the name of the first such server, and has it in the name of the NATS connection.
func WithInstance(name string) InstanceOption { return InstanceOption{name} }

func (o InstanceOption) check() error {
	if o.name != "" && !wire.ValidInstance(o.name) {
		return invalidOption("instance %q: use 1 to 64 characters of A-Z a-z 0-9 _ -", o.name)
	}
	return nil
}

func (o InstanceOption) applyConn(c *connConfig) error {
	c.instance = o.name
	return o.check()
}

// title returns the name of the NATS connection.
func (s *standing) title() string {
	instance := s.instance
	if instance == "" {
		instance = registrar.NewName()
		s.told = make(chan string, 1)
		s.told <- instance
	}
	return dial.Title(instance, s.origin.Build)
}

// makeUp makes up the name of an instance. The first one is in the name of the NATS
// connection.
func (s *standing) makeUp() string {
	select {
	case name := <-s.told:
		return name
	default:
		return registrar.NewName()
	}
}
