package aegis

import (
	"log/slog"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/dial"
	"github.com/aegisrpc/aegis/runtime/registry"
)

// ConnOption is an option of Connect and NewConn.
type ConnOption interface{ applyConn(c *connConfig) error }

// WithNamespace sets the first token of every subject, so that several
// environments can share one NATS account: 1 to 32 characters of A-Z a-z 0-9 _.
// Clients and servers find each other only within one namespace. Default
// "aegis".
func WithNamespace(namespace string) ConnOption {
	return connOption(func(c *connConfig) error {
		if !wire.ValidNamespace(namespace) {
			return invalidOption("namespace %q: use 1 to 32 characters of A-Z a-z 0-9 _", namespace)
		}
		c.namespace = namespace
		return nil
	})
}

// WithNATSOptions passes options to nats.Connect: TLS, credentials, name and so
// on. They win over the defaults of Connect. NewConn refuses WithNATSOptions, as the
// connection exists already.
func WithNATSOptions(opts ...nats.Option) ConnOption {
	return connOption(func(c *connConfig) error {
		c.nats = append(c.nats, opts...)
		return nil
	})
}

func (o LoggerOption) applyConn(c *connConfig) error {
	c.logger = o.logger
	return o.check()
}

type connConfig struct {
	standing

	namespace string
	logger    *slog.Logger
	nats      []nats.Option
	assembly  int64
	jetStream jetStreamConfig
	replicas  int
	errors    *bus.Errors // nil for a connection that NewConn was given
}

// standing is how a process stands among the others.
type standing struct {
	origin   registry.Origin
	instance string      // of servers that name none; "" for a name that is made up
	told     chan string // has the made-up name in the name of the NATS connection, until a server takes it
	reserved bool        // only calls that choose the process's servers are taken
}

func newConnConfig(opts []ConnOption) (*connConfig, error) {
	c := &connConfig{namespace: wire.DefaultNamespace, logger: slog.Default(), assembly: 256 << 20}
	c.origin.Build = dial.BuiltVersion()
	if err := applyOptions(opts, func(o ConnOption) error { return o.applyConn(c) }); err != nil {
		return nil, err
	}
	return c, nil
}

type connOption func(*connConfig) error

func (o connOption) applyConn(c *connConfig) error { return o(c) }

// WithJetStreamDomain uses the JetStream of a domain, as a leaf node has one of
// its own beside that of its hub. Durable events, commands, leaders and the registry are
// all kept there; processes that have to find each other use the same domain. Default: the
// JetStream of the NATS server that the connection has.
func WithJetStreamDomain(domain string) ConnOption {
	return connOption(func(c *connConfig) error {
		if !wire.ValidInstance(domain) {
			return invalidOption("JetStream domain %q: use 1 to 64 characters of A-Z a-z 0-9 _ -", domain)
		}
		return c.useJetStream(jetStreamConfig{domain: domain})
	})
}

// WithJetStreamAPIPrefix uses a JetStream whose API is imported from another
// account under a prefix, such as "JS.orders", for everything that
// [WithJetStreamDomain] names. The subjects of streams and buckets must be imported as
// well, those of buckets under the prefix ("JS.orders.$KV.>"); docs/protocol.md has the
// list. WithJetStreamAPIPrefix and WithJetStreamDomain exclude each other. Default
// "$JS.API".
func WithJetStreamAPIPrefix(prefix string) ConnOption {
	return connOption(func(c *connConfig) error {
		if !wire.ValidSubject(prefix) {
			return invalidOption("JetStream API prefix %q: it is no subject without wildcards", prefix)
		}
		return c.useJetStream(jetStreamConfig{prefix: prefix})
	})
}

type jetStreamConfig struct{ domain, prefix string }

// WithReplicas says how many NATS servers keep each stream and each bucket that the
// connection uses: 1, 3 or 5. It is a matter of the place where a program runs, as a NATS of
// one server refuses more than 1. It goes over the proto; the Replicas of [Storage] and
// [BucketConfig], which say what becomes of a stream or bucket that exists, go over it.
// Default, and what 0 means: as those say.
func WithReplicas(servers int) ConnOption {
	return connOption(func(c *connConfig) error {
		if !replicated(servers) {
			return invalidOption("replicas %d: use 1, 3 or 5", servers)
		}
		c.replicas = servers
		return nil
	})
}

// replicated reports whether NATS keeps streams on so many servers, 0 being its choice.
func replicated(servers int) bool {
	return servers == 0 || servers == 1 || servers == 3 || servers == 5
}

// WithReassemblyLimit sets how many bytes of messages that come in parts (those
// of methods with max_message_bytes) a connection may hold at once, over all of
// its streams and calls. A call or a stream that exceeds the limit ends with
// CodeResourceExhausted. 1 byte to 2^40. Default 256 MiB.
func WithReassemblyLimit(bytes int64) ConnOption {
	return connOption(func(c *connConfig) error {
		if bytes < 1 || bytes > 1<<40 {
			return invalidOption("reassembly limit of %d bytes: use 1 to %d", bytes, int64(1)<<40)
		}
		c.assembly = bytes
		return nil
	})
}

// useJetStream sets the JetStream of the connection. A second choice is refused, as
// the first one would do nothing then.
func (c *connConfig) useJetStream(js jetStreamConfig) error {
	if c.jetStream != (jetStreamConfig{}) {
		return invalidOption("WithJetStreamDomain and WithJetStreamAPIPrefix: give one of them, once")
	}
	c.jetStream = js
	return nil
}
