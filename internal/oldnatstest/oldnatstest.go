// Package oldnatstest has no code: its test runs services on real NATS servers of
// older versions, as docs/protocol.md says what each pattern needs. `make
// oldnatstest` runs it; it is not part of `make test`, as it builds those servers.
package oldnatstest
