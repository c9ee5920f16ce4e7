// Package testservice has what the tests of several subcommands share: services, and
// functions that run a subcommand.
package testservice

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/clitest"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

// Subcommand is the name of a subcommand.
type Subcommand string

// Run runs the subcommand against a NATS server.
func (s Subcommand) Run(t *testing.T, n *aegistest.NATS, args ...string) clitest.Result {
	t.Helper()
	return clitest.Run(t, nil, append(append([]string{string(s)}, args...), "--server", n.URL())...)
}

// Output is Run for a subcommand that has to succeed, and returns what it prints.
func (s Subcommand) Output(t *testing.T, n *aegistest.NATS, args ...string) string {
	t.Helper()
	r := s.Run(t, n, args...)
	require.Equal(t, 0, r.Code, "%v: %s", args, r.Err)
	return r.Out
}
