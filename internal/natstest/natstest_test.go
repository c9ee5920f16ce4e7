//go:build natstest

package natstest

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/micro"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/examples/order/gen/order/v1/orderv1aegis"
	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	"github.com/aegisrpc/aegis/internal/wire"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisenv"
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
	home string // of its contexts
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
	return &tool{t: t, path: strings.TrimSpace(string(out)), url: url, home: home, env: append(os.Environ(), "HOME="+home, "XDG_CONFIG_HOME="+home)}
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

// start builds a program of the examples and runs it until the test ends. It returns when
// the program has printed a text; says waits for another one.
func start(t *testing.T, program, url, name, until string) (says func(text string)) {
	t.Helper()
	path := filepath.Join(t.TempDir(), filepath.Base(program))
	build := exec.CommandContext(t.Context(), "go", "build", "-o", path, "./examples/"+program)
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
	says = func(text string) {
		t.Helper()
		timer := time.NewTimer(deadline)
		defer timer.Stop()
		for {
			select {
			case line, ok := <-lines:
				require.True(t, ok, "%s ended before it said %q", name, text)
				if strings.Contains(line, text) {
					return
				}
			case <-timer.C:
				t.Fatalf("%s does not say %q", name, text)
			}
		}
	}
	says(until)
	return says
}

func TestNATSTool(t *testing.T) {
	url := aegistest.StartNATS(t).URL()
	nats := newTool(t, url)
	start(t, "echo/server", url, "echo-a", "is RUNNING")
	start(t, "echo/server", url, "echo-b", "is RUNNING")
	start(t, "order/server", url, "order-a", "leads in term")

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

// Events and commands in JSON, as docs/events.md and docs/commands.md have them.
func TestNATSToolPublishesEventsAndCommands(t *testing.T) {
	server := aegistest.StartNATS(t)
	url := server.URL()
	nats := newTool(t, url)
	heard := make(chan string, 1)
	aegistest.Serve(t, server.Connect(t), func(srv *aegis.Server) error {
		return aegistestv1aegis.SubscribeEventServiceEvents(srv, aegistestv1aegis.EventServiceEvents{
			Core: func(_ context.Context, ev *testv1.CoreRequest) error { heard <- ev.GetText(); return nil },
		}, aegis.Compete("g"))
	})
	pub := commandOf(t, "events.md", "nats pub ")
	nats.shell(strings.Replace(pub, "chat.v1.ChatService.Said", "aegistest.v1.EventService.Core", 1))
	select {
	case text := <-heard:
		require.Equal(t, "hi", text)
	case <-time.After(deadline):
		t.Fatal("the core event does not come")
	}

	start(t, "order/server", url, "order-a", "leads in term")
	watcher := start(t, "order/watcher", url, "watcher", "is RUNNING")
	function := block(t, "events.md", "bash")
	require.Contains(t, nats.shell(function+"\n"+commandOf(t, "events.md", "nats req aegis.log.")), `"seq"`)
	watcher("order 0 shell: 10 AEGIS")
	for _, key := range []string{"", "AEGIS", "a", "Schrödinger", "order-4711", "it's $HOME *"} {
		for _, partitions := range []int{1, 3, 4, 16, 1000} {
			t.Setenv("KEY", key)
			out := nats.shell(fmt.Sprintf("%s\npartition \"$KEY\" %d", function, partitions))
			require.Equal(t, strconv.Itoa(wire.Partition(wire.KeyHash(key), partitions)), strings.TrimSpace(out), "%q of %d", key, partitions)
		}
	}

	require.Contains(t, nats.shell(commandOf(t, "commands.md", "nats req aegis.cmd.")), `"seq"`)
	var result string
	get := commandOf(t, "commands.md", "nats stream get ")
	require.Eventually(t, func() bool {
		out, err := nats.inShell(get)
		result = out
		return err == nil
	}, deadline, 100*time.Millisecond, "there is no result")
	require.Regexp(t, `Aegis-State: +SUCCEEDED`, result)
	require.Regexp(t, `Content-Type: +application/json`, result)
	require.Regexp(t, `"instance": ?"order-a"`, result)
	cmd := orderv1aegis.OrderServiceReconcileBookCommand(server.Connect(t), "shell.1")
	sum, err := cmd.Result(t.Context())
	require.NoError(t, err)
	require.Equal(t, "order-a", sum.GetInstance())
}

// aegisenv reads the contexts that the tool writes.
func TestContextsOfTheNATSTool(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nats.conf")
	require.NoError(t, os.WriteFile(path, []byte(`authorization { user: bob, password: "s3cr3t" }`), 0o600))
	nats := newTool(t, aegistest.StartNATSWithConfig(t, path).URL())
	nats.run("context", "add", "first", "--user", "bob", "--password", "s3cr3t", "--js-domain", "hub", "--inbox-prefix", "_MINE")
	nats.run("context", "add", "second", "--user", "bob", "--password", "wr0ng", "--select")
	aegisenv.BindFlags(new(aegisenv.Settings), func(_ *string, _, variable, _ string) { t.Setenv(variable, "") })
	t.Setenv("XDG_CONFIG_HOME", nats.home)

	t.Setenv("NATS_CONTEXT", "first")
	is, err := aegisenv.Settings{}.Resolve(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{nats.url, "bob", "s3cr3t", "hub", "_MINE"}, []string{is.URL, is.User, is.Password, is.JSDomain, is.InboxPrefix})
	conn, err := aegisenv.Connect(t.Context())
	require.NoError(t, err)
	require.NoError(t, conn.Close(t.Context()))

	t.Setenv("NATS_CONTEXT", "")
	_, err = aegisenv.Settings{SelectedContext: true}.Connect(t.Context())
	require.ErrorContains(t, err, "Authorization Violation")
	require.ErrorContains(t, err, "password of the NATS context "+filepath.Join(nats.home, "nats", "context", "second.json"))
}

// shell runs a line in bash where nats is the tool, and returns what it prints.
func (n *tool) shell(line string) string {
	n.t.Helper()
	out, err := n.inShell(line)
	require.NoError(n.t, err, "%s\n%s", line, out)
	return out
}

func (n *tool) inShell(line string) (string, error) {
	ctx, cancel := context.WithTimeout(n.t.Context(), deadline)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", `nats() { "$NATS_TOOL" "$@"; }`+"\n"+line)
	cmd.Env = append(slices.Clone(n.env), "NATS_TOOL="+n.path, "NATS_URL="+n.url, "KEY="+os.Getenv("KEY"))
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// commandOf returns the one command in a document that begins so.
func commandOf(t *testing.T, name, begin string) string {
	t.Helper()
	found := regexp.MustCompile(`(?m)^    (`+regexp.QuoteMeta(begin)+`.*)$`).FindAllStringSubmatch(document(t, name), -1)
	require.Len(t, found, 1, begin)
	return found[0][1]
}

// block returns the one block of code of a language in a document.
func block(t *testing.T, name, language string) string {
	t.Helper()
	found := regexp.MustCompile("(?s)\n```"+language+"\n(.*?)\n```").FindAllStringSubmatch(document(t, name), -1)
	require.Len(t, found, 1, language)
	return found[0][1]
}

func protocol(t *testing.T) string {
	t.Helper()
	return document(t, "protocol.md")
}

func document(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../docs", name))
	require.NoError(t, err)
	return string(text)
}
