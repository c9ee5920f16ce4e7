//go:build unix

package chaos_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/chaos"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/clitest"
	"github.com/aegisrpc/aegis/internal/procs"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

const (
	patience = time.Minute

	placeOrder = "order.v1.OrderService/PlaceOrder"
	anOrder    = `{"id": "{{.UUID}}", "symbol": "AEG", "side": "SIDE_BUY", "quantity": 1, "priceCents": 1}`
	echoMethod = "echo.v1.EchoService/Echo"
	aText      = `{"text": "call {{.N}}"}`
)

func TestMain(m *testing.M) { clitest.Main(m) }

// module is the directory of this module.
var module = sync.OnceValues(func() (string, error) {
	out, err := exec.CommandContext(context.Background(), "go", "list", "-m", "-f", "{{.Dir}}").Output()
	return strings.TrimSpace(string(out)), err
})

// servers are the example servers, built.
var servers = sync.OnceValues(func() (string, error) {
	root, err := module()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(root, "build", "chaostest")
	for _, name := range []string{"echo", "order"} {
		cmd := exec.CommandContext(context.Background(), "go", "build", "-o", filepath.Join(dir, name), "./examples/"+name+"/server")
		cmd.Dir = root
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", errors.New(string(out))
		}
	}
	return dir, nil
})

// serve starts example servers, and returns when they serve.
func serve(t *testing.T, nats *aegistest.NATS, name string, n int, args ...string) []*procs.Process {
	t.Helper()
	dir, err := servers()
	require.NoError(t, err)
	var all []*procs.Process
	for range n {
		cmd := exec.Command(filepath.Join(dir, name), append([]string{"--nats", nats.URL(), "--heartbeat", "200ms"}, args...)...)
		running := make(chan struct{})
		p, err := procs.Start(name, cmd, func(out io.Reader) {
			for lines := bufio.NewScanner(out); lines.Scan(); {
				if strings.HasSuffix(lines.Text(), "RUNNING") || strings.Contains(lines.Text(), "RUNNING after") {
					close(running)
				}
			}
		})
		require.NoError(t, err)
		t.Cleanup(p.Kill)
		all = append(all, p)
		select {
		case <-running:
		case <-p.Ended():
			t.Fatalf("%s has ended", name)
		case <-time.After(patience):
			t.Fatalf("%s does not serve", name)
		}
	}
	return all
}

func pids(all []*procs.Process) string {
	var ids []string
	for _, p := range all {
		ids = append(ids, strconv.Itoa(p.Pid()))
	}
	return strings.Join(ids, ",")
}

// report is what a test reads of the JSON.
type report struct {
	Version     int
	Method      string
	Interrupted bool
	Faults      []struct {
		PID       int
		Instance  string
		Leader    bool
		Recovered bool
		Problem   string
		Failover  *float64 `json:"failover_ms"`
		Slowest   float64  `json:"slowest_ms"`
		Calls     int64
		Failed    int64
	}
	Failover struct {
		Count  int
		Median float64 `json:"median_ms"`
		Worst  float64 `json:"worst_ms"`
	}
	Totals struct {
		Calls, Failed int64
		Unknown       int64 `json:"unknown_outcome"`
	}
	Limits []struct {
		Name string
		Held bool
	}
}

// play runs the command, and returns its report.
func play(t *testing.T, nats *aegistest.NATS, code int, args ...string) (*report, string) {
	t.Helper()
	if !slices.Contains(args, "--rate") {
		args = append(args, "--rate", "20") // the machine may be busy
	}
	got := clitest.Run(t, env(nats), append(append([]string{"chaos"}, args...), "--yes", "--output", "json")...)
	return parse(t, got, code), got.Err
}

func parse(t *testing.T, got clitest.Result, code int) *report {
	t.Helper()
	require.Equal(t, code, got.Code, "%s\n%s", got.Out, got.Err)
	var r report
	require.NoError(t, json.Unmarshal([]byte(got.Out), &r), "%s\n%s", got.Out, got.Err)
	require.Equal(t, 1, r.Version)
	return &r
}

func env(nats *aegistest.NATS) []string { return []string{"NATS_URL=" + nats.URL()} }

// stopped tells whether a process is stopped by a signal.
func stopped(t *testing.T, pid int) bool {
	t.Helper()
	is, err := chaos.Stopped(pid)
	require.NoError(t, err)
	return is
}

// awaitPause waits until a process is paused for longer than it takes to identify it.
func awaitPause(t *testing.T, pid int) {
	t.Helper()
	seen := 0
	require.Eventually(t, func() bool {
		if seen++; !stopped(t, pid) {
			seen = 0
		}
		return seen > 30
	}, patience, 40*time.Millisecond)
}

// of returns the process with an id.
func of(t *testing.T, all []*procs.Process, pid int) *procs.Process {
	t.Helper()
	i := slices.IndexFunc(all, func(p *procs.Process) bool { return p.Pid() == pid })
	require.GreaterOrEqual(t, i, 0, fmt.Sprint("process ", pid))
	return all[i]
}

// project makes a project whose server is the echo server.
func project(t *testing.T) string {
	t.Helper()
	root, err := module()
	require.NoError(t, err)
	dir := t.TempDir()
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	require.NoError(t, err)
	text := strings.Replace(string(mod), "module github.com/aegisrpc/aegis", "module example.com/shop", 1) +
		"\nrequire github.com/aegisrpc/aegis v0.0.0\n\nreplace github.com/aegisrpc/aegis => " + root + "\n"
	sum, err := os.ReadFile(filepath.Join(root, "go.sum"))
	require.NoError(t, err)
	require.NoError(t, os.Mkdir(filepath.Join(dir, "server"), 0o750))
	for name, text := range map[string]string{"go.mod": text, "go.sum": string(sum), "server/main.go": echoServer} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, filepath.FromSlash(name)), []byte(text), 0o600))
	}
	return dir
}

const echoServer = `package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/aegisrpc/aegis/examples/echo/echoserver"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := echoserver.Run(ctx, []string{"--heartbeat", "1s"}, os.Stdout); err != nil {
		panic(err)
	}
}
`

// outsiderCommand is a process that serves nothing.
func outsiderCommand() *exec.Cmd { return exec.Command("sleep", "3600") }

// figure reads a number of the table.
func figure(t *testing.T, out, name string) int {
	t.Helper()
	found := regexp.MustCompile(name + ` +(\d+)\n`).FindStringSubmatch(out)
	require.NotNil(t, found, out)
	n, err := strconv.Atoi(found[1])
	require.NoError(t, err)
	return n
}
