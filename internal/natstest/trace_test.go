//go:build natstest

package natstest

import (
	"context"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

// compareTraces traces a call of the leader with the nats tool and with aegis, and compares
// the connection, the subscription and the queue group that it goes out to.
func compareTraces(t *testing.T, nats *tool) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "aegis")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", path, "./cmd/aegis")
	build.Dir = "../.."
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))

	theirs := nats.run("trace", "aegis.lead.order.v1.OrderService.ListOrders.default.any", "{}")
	out, err = exec.CommandContext(context.Background(), path, "call", "order.v1.OrderService/ListOrders", "--trace", "--server", nats.url).CombinedOutput()
	require.NoError(t, err, string(out))

	their := regexp.MustCompile(`--C Client "[^"]*" cid:(\d+).* subject:"(\S+)" queue:"(\S+)"`).FindStringSubmatch(theirs)
	our := regexp.MustCompile(`out client (\d+) "[^"]*", subscription (\S+), queue (\S+)`).FindStringSubmatch(string(out))
	require.Len(t, their, 4, theirs)
	require.Len(t, our, 4, string(out))
	require.Equal(t, their[1:], our[1:])
}
