package order_test

import (
	"bufio"
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/runtime/aegistest"
)

const deadline = 30 * time.Second

func TestServerAndClientByHand(t *testing.T) {
	dir := t.TempDir()
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", dir, "./server", "./client", "./watcher").CombinedOutput()
	require.NoError(t, err, string(out))
	url := aegistest.StartNATS(t).URL()
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	server := exec.CommandContext(ctx, filepath.Join(dir, "server"), "--nats", url, "--name", "order-a")
	stdout, err := server.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, server.Start())
	lines := bufio.NewScanner(stdout)
	awaitLine(t, lines, "order-a leads in term ")

	client := func(args ...string) (string, error) {
		out, err := exec.CommandContext(ctx, filepath.Join(dir, "client"), append([]string{"--nats", url}, args...)...).CombinedOutput()
		return string(out), err
	}
	text, err := client("place", "a1", "AEGIS", "buy", "10", "1205")
	require.NoError(t, err, text)
	require.Contains(t, text, "a1 is number 1 of the book")
	text, err = client("place", "a1", "AEGIS", "sell", "10", "1205")
	require.Error(t, err)
	require.Contains(t, text, "ALREADY_EXISTS")
	text, err = client("get", "a1", "round-robin")
	require.NoError(t, err, text)
	require.Contains(t, text, "order-a has      1  a1: buy 10 AEGIS")
	text, err = client("reconcile")
	require.NoError(t, err, text)
	require.Contains(t, text, "1 orders, 10 bought and 0 sold, says order-a in attempt 1")
	text, err = client("list")
	require.NoError(t, err, text)
	require.Contains(t, text, "1  a1: buy 10 AEGIS at 12.05, term ")
	text, err = client("list", "1")
	require.NoError(t, err)
	require.Empty(t, text)
	for _, args := range [][]string{{}, {"place"}, {"list", "x"}, {"get"}, {"get", "nothing"}, {"reconcile", "x"}, {"place", "a", "b", "buy", "x", "1"}, {"place", "a", "b", "buy", "1", "x"}, {"place", "a", "b", "hold", "1", "1"}} {
		text, err = client(args...)
		require.Error(t, err, args)
		require.Contains(t, text, "order client: ")
	}

	testWatcherByHand(t, filepath.Join(dir, "watcher"), url)
	require.NoError(t, server.Process.Signal(syscall.SIGTERM))
	awaitLine(t, lines, "order-a has given up the lead")
	require.NoError(t, server.Wait())
}

func testWatcherByHand(t *testing.T, path, url string) {
	t.Helper()
	for _, kind := range []string{"risk", "monitor"} {
		watcher := exec.CommandContext(t.Context(), path, "--nats", url, "--as", kind)
		stdout, err := watcher.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, watcher.Start())
		lines := bufio.NewScanner(stdout)
		awaitLine(t, lines, "order 1 a1: 10 AEGIS")
		require.NoError(t, watcher.Process.Signal(syscall.SIGTERM))
		awaitLine(t, lines, "is STOPPED")
		require.NoError(t, watcher.Wait())
	}
	text, err := exec.CommandContext(t.Context(), path, "--as", "x").CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(text), `--as "x": use risk or monitor`)
}

func awaitLine(t *testing.T, lines *bufio.Scanner, text string) {
	t.Helper()
	for lines.Scan() {
		if strings.Contains(lines.Text(), text) {
			return
		}
	}
	t.Fatalf("no line with %q", text)
}
