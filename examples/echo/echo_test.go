// Package echo_test runs the echo example as its user does, as processes, and
// calls its server from within.
package echo_test

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	echov1 "github.com/aegisrpc/aegis/examples/echo/gen/echo/v1"
	"github.com/aegisrpc/aegis/examples/echo/gen/echo/v1/echov1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

const deadline = 30 * time.Second

func TestEcho(t *testing.T) {
	dir := t.TempDir()
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", dir, "./server", "./client").CombinedOutput()
	require.NoError(t, err, string(out))
	t.Setenv("NATS_URL", "")
	server, client := filepath.Join(dir, "server"), filepath.Join(dir, "client")

	t.Run("ServerAnswersTextAndTenant", func(t *testing.T) { testServer(t, server) })
	t.Run("ClientCallsServerThatBroughtItsOwnNATS", func(t *testing.T) { testClient(t, server, client) })
}

func testServer(t *testing.T, path string) {
	t.Helper()
	nats := aegistest.StartNATS(t)
	startServer(t, path, "--nats", nats.URL(), "--name", "echo-a")
	client, err := echov1aegis.NewEchoServiceClient(nats.Connect(t))
	require.NoError(t, err)

	ctx, call := aegis.NewCall(t.Context())
	call.RequestHeader().Set("tenant", "blue")
	resp, err := client.Echo(ctx, &echov1.EchoRequest{Text: "hello"})
	require.NoError(t, err)
	require.Equal(t, "hello", resp.GetText())
	require.Equal(t, "echo-a", resp.GetInstance())
	require.Equal(t, "blue", call.ResponseHeader().Get("served-for"))

	_, err = client.Echo(t.Context(), &echov1.EchoRequest{})
	require.Equal(t, aegis.CodeInvalidArgument, aegis.CodeOf(err))
	require.True(t, aegis.IsWireError(err), "the server said it")
}

func testClient(t *testing.T, serverPath, client string) {
	t.Helper()
	server := startServer(t, serverPath)
	hint, _, _ := strings.Cut(server.preface, "\n")
	variable, args, found := strings.Cut(strings.TrimPrefix(hint, "call it: "), " go run ./examples/echo/client ")
	require.True(t, found, "the server says how to call it: %q", server.preface)
	name, url, _ := strings.Cut(variable, "=")
	t.Setenv(name, url)

	stdout, stderr, status := runClient(t, client, args)
	require.Equal(t, 0, status, stderr)
	require.Regexp(t, `^hello \(from echo-\d+, served for acme\)\n$`, stdout)

	_, stderr, status = runClient(t, client)
	require.Equal(t, 1, status)
	require.Contains(t, stderr, "INVALID_ARGUMENT: the text is empty")

	require.Contains(t, server.stop(t), "is STOPPED after 2 calls")
	_, stderr, status = runClient(t, client, args)
	require.Equal(t, 1, status)
	require.Contains(t, stderr, "connect to NATS at")
}

func TestExampleIsShort(t *testing.T) {
	lines := 0
	for _, path := range []string{"server/main.go", "client/main.go"} {
		source, err := os.ReadFile(path)
		require.NoError(t, err)
		lines += bytes.Count(source, []byte("\n"))
	}
	require.Less(t, lines, 100, "server and client together")
}

// process is a running echo server.
type process struct {
	cmd    *exec.Cmd
	stdout *bufio.Reader
	stderr *bytes.Buffer
	// preface is what it printed before it served.
	preface string
}

// startServer returns when the server serves. It ends with the test.
func startServer(t *testing.T, path string, args ...string) *process {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	p := &process{cmd: exec.CommandContext(ctx, path, args...), stderr: new(bytes.Buffer)}
	p.cmd.Stderr = p.stderr
	stdout, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	p.stdout = bufio.NewReader(stdout)
	require.NoError(t, p.cmd.Start())
	t.Cleanup(func() {
		cancel()
		_ = p.cmd.Wait() // fails if stop waited before
	})
	for !strings.Contains(p.preface, "is RUNNING") {
		line, err := p.stdout.ReadString('\n')
		require.NoError(t, err, "the server ended: %s%s", p.preface, p.stderr)
		p.preface += line
	}
	return p
}

// stop stops the server gracefully and returns what it printed from then on.
func (p *process) stop(t *testing.T) string {
	t.Helper()
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
	rest, err := io.ReadAll(p.stdout)
	require.NoError(t, err)
	require.NoError(t, p.cmd.Wait(), p.stderr.String())
	return string(rest)
}

func runClient(t *testing.T, path string, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	var out, errs strings.Builder
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	require.NotNil(t, cmd.ProcessState, "%v", err)
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}
