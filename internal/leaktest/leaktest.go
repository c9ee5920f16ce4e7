// Package leaktest runs a package's tests and fails if they leave goroutines
// behind.
package leaktest

import (
	"testing"

	"go.uber.org/goleak"
)

// Run runs the tests of m and ends the process.
//
// What a NATS server in this process leaves is not ours: it creates a stream
// that is asked for while it shuts down, and does not stop the goroutines of
// that stream (seen with nats-server 2.15.2).
func Run(m *testing.M) {
	const server = "github.com/nats-io/nats-server/v2/server"
	goleak.VerifyTestMain(
		m,
		goleak.IgnoreAnyFunction(server+".(*fileStore).flushStreamStateLoop"),
		goleak.IgnoreAnyFunction(server+".(*msgBlock).flushLoop"),
		goleak.IgnoreAnyFunction(server+".(*consumerFileStore).flushLoop"),
		goleak.IgnoreAnyFunction(server+"/ats.Register.func1"),
	)
}
