// Package aegistest helps to test services against a real NATS server that runs within the
// process of the test. No program needs to be installed or started.
//
//	conn := aegistest.Connect(t)
//	aegistest.Serve(t, conn, func(srv *aegis.Server) error {
//		return echov1aegis.RegisterEchoServiceServer(srv, echo{})
//	})
//	client, err := echov1aegis.NewEchoServiceClient(conn)
//
// All that it starts ends with the test, and logs to the test's output. [StartNATS] and
// [StartCluster] start NATS servers, which can be stopped and started again; [Start] runs a
// server that can be stopped or killed; [NATS.Link] stands between a program and NATS, and
// can be paused, cut and slowed.
//
// # Leaders
//
// The first leader of a new namespace waits out a lease, as the election cannot know whether
// a leader of an earlier one still acts. This package knows that nobody has led on a NATS
// server that it has just started. [Serve] and [Start] tell the election so, and the first
// leader leads within some milliseconds. All later leaders follow as they do in production;
// so does the first one in a namespace that was deleted and made anew. It is not told on
// servers that have a configuration ([StartNATSWithConfig]), whose users may lack permissions.
//
// # Time
//
// A server refuses calls of unknown age after a pause of its process. In a program that
// imports this package a pause is 5 s and not half a second, as machines on which tests run
// are busy, and the calls of a test would be refused for that.
//
// # Tests alone
//
// A program that is no test and imports this package panics when it starts.
package aegistest

import (
	"time"

	_ "github.com/aegisrpc/aegis/runtime/aegistest/internal/testonly" // see Tests alone
	"github.com/aegisrpc/aegis/runtime/internal/handling"
)

// testPause is how late a process of tests may be before it takes itself for paused.
const testPause = 5 * time.Second

func init() { handling.SetLateness(testPause) } //nolint:gochecknoinits // before any server is made, whoever makes it
