//go:build natstest

package natstest

import (
	"bufio"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/micro"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/runtime/aegistest"
	"github.com/aegisrpc/aegis/runtime/health"
)

const (
	deadline = time.Minute

	echoMicro  = "echo-v1-EchoService"
	orderMicro = "order-v1-OrderService"
)

// tool is the nats command line tool, aimed at a NATS server.
type tool struct {
	t    *testing.T
	path string
	url  string
	env  []string
}

func newTool(t *testing.T, url string) *tool {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "tool", "-n", "-modfile=tools/nats.mod", "nats")
	cmd.Dir = "../.."
	cmd.Stderr = os.Stderr
	from := time.Now()
	out, err := cmd.Output()
	require.NoError(t, err, "%s", cmd)
	t.Logf("%6.1f s  %s", time.Since(from).Seconds(), strings.Join(cmd.Args, " "))
	home := t.TempDir() // nobody's contexts and settings
	return &tool{t: t, path: strings.TrimSpace(string(out)), url: url, env: append(os.Environ(), "HOME="+home, "XDG_CONFIG_HOME="+home)}
}

// run returns what the tool prints.
func (n *tool) run(args ...string) string {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), deadline)
	defer cancel()
	cmd := exec.CommandContext(ctx, n.path, append([]string{"--server", n.url}, args...)...)
	cmd.Env = n.env
	out, err := cmd.CombinedOutput()
	require.NoError(n.t, err, "%s\n%s", cmd, out)
	return string(out)
}

// runJSON decodes what the tool prints.
func (n *tool) runJSON(into any, args ...string) {
	n.t.Helper()
	out := n.run(append(args, "--json")...)
	require.NoError(n.t, json.Unmarshal([]byte(out), into), out)
}

// start builds an example's server and runs it until the test ends.
func start(t *testing.T, example, url, name, until string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), example)
	build := exec.CommandContext(t.Context(), "go", "build", "-o", path, "./examples/"+example+"/server")
	build.Dir = "../.."
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))
	cmd := exec.CommandContext(context.Background(), path, "--nats", url, "--name", name)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	lines := make(chan string, 100)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(stdout); s.Scan(); {
			lines <- s.Text()
		}
	}()
	t.Cleanup(func() {
		require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
		for range lines { // until it has ended
		}
		require.NoError(t, cmd.Wait())
	})
	timer := time.NewTimer(deadline)
	defer timer.Stop()
	for {
		select {
		case line, ok := <-lines:
			require.True(t, ok, "%s ended before it said %q", name, until)
			if strings.Contains(line, until) {
				return
			}
		case <-timer.C:
			t.Fatalf("%s does not say %q", name, until)
		}
	}
}

func TestNATSTool(t *testing.T) {
	url := aegistest.StartNATS(t).URL()
	nats := newTool(t, url)
	start(t, "echo", url, "echo-a", "is RUNNING")
	start(t, "echo", url, "echo-b", "is RUNNING")
	start(t, "order", url, "order-a", "leads in term")

	// Calls, as docs/protocol.md has them.
	require.Contains(t, protocol(t), "\n    nats req aegis.call.echo.v1.EchoService.Echo '{\"text\":\"hi\"}' -H Content-Type:application/json\n")
	for range 9 {
		require.Regexp(t, `\{"text": ?"hi", ?"instance": ?"echo-[ab]"\}`,
			nats.run("req", "aegis.call.echo.v1.EchoService.Echo", `{"text":"hi"}`, "-H", "Content-Type:application/json"))
	}
	failed := nats.run("req", "aegis.call.echo.v1.EchoService.Echo", `{}`, "-H", "Content-Type:application/json")
	require.Regexp(t, `Nats-Service-Error: +the text is empty`, failed)
	require.Regexp(t, `Nats-Service-Error-Code: +3`, failed)
	placed := nats.run("req", "aegis.lead.order.v1.OrderService.PlaceOrder.default.any",
		`{"id":"1","symbol":"AEGIS","side":"SIDE_BUY","quantity":10,"priceCents":1205}`, "-H", "Content-Type:application/json")
	require.Contains(t, placed, `"order-a"`)
	require.Regexp(t, `Aegis-Term: +\d+`, placed)

	t.Run("trace", func(t *testing.T) { compareTraces(t, nats) })
	t.Run("ls", func(t *testing.T) {
		out := nats.run("micro", "ls")
		require.Regexp(t, `echo-v1-EchoService +│ 1\.0\.0 `, out)
		require.Regexp(t, `order-v1-OrderService +│ 0\.1\.0 `, out)
		require.Len(t, regexp.MustCompile(`│ [A-Z0-9]{26} │`).FindAllString(out, -1), 3, out)
		var all []micro.Info
		nats.runJSON(&all, "micro", "ls")
		instances := map[string]string{}
		for _, info := range all {
			instances[info.Metadata["instance"]] = info.Metadata["service"]
		}
		require.Equal(t, map[string]string{"echo-a": "echo.v1.EchoService", "echo-b": "echo.v1.EchoService", "order-a": "order.v1.OrderService"}, instances)
	})
	t.Run("info", func(t *testing.T) {
		out := nats.run("micro", "info", orderMicro)
		for _, want := range []string{
			`Service: order-v1-OrderService \([A-Z0-9]{26}\)`, `instance: order-a`, `Name: PlaceOrder`,
			`Subject: aegis\.lead\.order\.v1\.OrderService\.PlaceOrder\.default\.any`, `pattern: single_active`, `"grade": "A\+"`,
		} {
			require.Regexp(t, want, out)
		}
	})
	t.Run("stats", func(t *testing.T) {
		var all []micro.Stats
		nats.runJSON(&all, "micro", "stats", echoMicro)
		require.Len(t, all, 2)
		requests, failures, windowed := 0, 0, uint64(0)
		for _, s := range all {
			require.Len(t, s.Endpoints, 1)
			e := s.Endpoints[0]
			requests, failures = requests+e.NumRequests, failures+e.NumErrors
			report, err := health.DecodeReport(e.Data)
			require.NoError(t, err)
			windowed += report.Requests
		}
		require.Equal(t, 10, requests)
		require.Equal(t, 1, failures)
		require.EqualValues(t, 10, windowed)
		require.Regexp(t, `Echo +│ \d+ +│ aegis`, nats.run("micro", "stats", echoMicro))
	})
	t.Run("ping", func(t *testing.T) {
		require.Len(t, regexp.MustCompile(echoMicro+` [A-Z0-9]{26} +rtt=`).FindAllString(nats.run("micro", "ping", echoMicro), -1), 2)
	})
	t.Run("kv", func(t *testing.T) {
		require.Contains(t, nats.run("kv", "get", "aegis-registry", "order.v1.OrderService.order-a", "--raw"), `"state":"RUNNING"`)
	})
}

func protocol(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/protocol.md")
	require.NoError(t, err)
	return string(text)
}
