package aegis

import "github.com/nats-io/nats.go/jetstream"

// Namespace returns the namespace of the connection: see WithNamespace.
func (c *Conn) Namespace() string { return c.ns }

// JetStream returns the JetStream that the services of this connection are kept in: that of
// the account, or the one that WithJetStreamDomain or WithJetStreamAPIPrefix names. It is
// safe for concurrent use, and works until the connection is closed. Requests that NATS does
// not allow this user wait for their context.
func (c *Conn) JetStream() jetstream.JetStream { return c.stores.JetStream() }
