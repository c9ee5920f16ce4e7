// Package natstest has no code: its test uses the real nats command line tool on
// running services, as the documents say. `make natstest` runs it; it is not part
// of `make test`, as it builds that tool.
package natstest
