//go:build usertest

package usertest

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/repo"
)

// natsURL is what the page says, and the test replaces by the address of the
// server that it started, which listens where nobody else does.
const natsURL = "nats://localhost:4222"

// The quick start is followed word for word, but for three things: each mod file
// gets a replace directive to this checkout, the NATS server listens on a free
// port and stores in the folder, and Aegis's module path is asked of nobody.
func TestQuickStartWithBuf(t *testing.T) {
	u := newUser(t)
	for _, block := range quickStart(t) {
		switch name, ok := block.file(); {
		case ok:
			u.write(name, block.text)
		case block.lang == "sh":
			u.shell(block.text)
		default:
			t.Errorf("the quick start has a block of %q that names no file", block.lang)
		}
	}
	assert.Equal(t, "Hello, NATS!\n", u.output, "what the client printed, and the page says")
	assert.Contains(t, page(t), "It prints `Hello, NATS!`.")
	assert.Contains(t, page(t), `which prints "`+serving+`"`)

	for _, dep := range u.required("go.mod") {
		assert.Contains(t, repo.LinkedModules(), dep, "required by the user's module after go mod tidy")
	}
	before := u.read("go.mod") + u.read("go.sum")
	u.run("go", "mod", "tidy")
	u.run("go", "vet", "./...")
	assert.Equal(t, before, u.read("go.mod")+u.read("go.sum"), "a second go mod tidy changes nothing")
}

// serving is what the service prints when it serves.
const serving = "aegis: serving"

// Managed mode is switched on as the comment in buf.gen.yaml says. The event is
// linted by the buf.yaml that the page gives.
func TestQuickStartWithManagedModeAndAnEvent(t *testing.T) {
	u := newUser(t)
	for _, block := range quickStart(t) {
		switch name, ok := block.file(); {
		case name == "buf.gen.yaml":
			managed := strings.Replace(block.text, "\n# managed: ", "\nmanaged: ", 1)
			require.NotEqual(t, block.text, managed, "buf.gen.yaml shows managed mode in a comment")
			u.write(name, managed)
		case strings.HasSuffix(name, "hello.proto"):
			u.write(name, withEvent(t, regexp.MustCompile("\noption go_package = .*\n").ReplaceAllString(block.text, "")))
		case ok:
			u.write(name, block.text)
		case strings.HasPrefix(block.text, "go mod tidy\n"):
			u.run("go", "mod", "tidy")
		default:
			u.shell(block.text)
		}
	}
	u.run("go", "vet", "./...")
	u.write("linked/main.go", "package main\n\nimport _ \"example.com/hello/gen/hello/v1/hellov1aegis\"\n\nfunc main() {}\n")
	u.run("go", "run", "./linked") // it would panic if anything was registered twice

	const aegisAlone = "disable: [{path: aegis}]"
	generate := []string{"go", "tool", "-modfile=tools.mod", "buf", "generate"}
	managed := u.read("buf.gen.yaml")
	for _, wrong := range []string{"disable: [{path: proto/aegis}]", "disable: []"} {
		u.write("buf.gen.yaml", strings.Replace(managed, aegisAlone, wrong, 1))
		assert.Contains(t, u.fails(generate...), `write "`+aegisAlone+`" below "managed:" in buf.gen.yaml`, wrong)
	}
}

// withEvent adds an event to the service.
func withEvent(t *testing.T, protoFile string) string {
	t.Helper()
	for _, change := range []struct{ before, with string }{
		{`import "aegis/v1/options.proto";` + "\n", `import "google/protobuf/empty.proto";` + "\n"},
		{"service HelloService {\n", "  rpc Greeted(GreetedRequest) returns (google.protobuf.Empty) {\n    option (aegis.v1.method) = {event: {}};\n  }\n"},
		{"message HelloRequest { string name = 1; }\n", "message GreetedRequest { string name = 1; }\n"},
	} {
		require.Contains(t, protoFile, change.before)
		protoFile = strings.Replace(protoFile, change.before, change.before+change.with, 1)
	}
	return protoFile
}

// block is a fenced block of the page.
type block struct{ lang, text string }

// file returns the name that the block's first line gives in a comment.
func (b block) file() (string, bool) {
	match := regexp.MustCompile(`^(?://|#) (\S+\.\w+)\n`).FindStringSubmatch(b.text)
	if match == nil || b.lang == "sh" {
		return "", false
	}
	return match[1], true
}

func page(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(checkout(t), "docs", "buf.md"))
	require.NoError(t, err)
	return string(text)
}

func quickStart(t *testing.T) []block {
	t.Helper()
	_, section, ok := strings.Cut(page(t), "\n## Quick start\n")
	require.True(t, ok, "docs/buf.md has a quick start")
	section, _, _ = strings.Cut(section, "\n## ")
	var blocks []block
	for _, match := range regexp.MustCompile("(?s)\n```(\\w+)\n(.*?)```").FindAllStringSubmatch(section, -1) {
		blocks = append(blocks, block{lang: match[1], text: match[2]})
	}
	require.Greater(t, len(blocks), 5)
	return blocks
}

func checkout(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	require.NoError(t, err)
	return dir
}

// user is somebody who follows the quick start.
type user struct {
	t      *testing.T
	dir    string
	env    []string
	nats   string // URL of the NATS server, once started
	output string // standard output of the last command
}

func newUser(t *testing.T) *user {
	t.Helper()
	return &user{
		t: t, dir: t.TempDir(),
		env: append(os.Environ(), "GOWORK=off", "GOFLAGS=-buildvcs=false", "GOPROXY="+proxy(t)),
	}
}

// proxy starts a Go module proxy that knows nothing of Aegis, which has to come
// from the checkout, and sends all other questions to the real one.
func proxy(t *testing.T) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "env", "GOPROXY").Output()
	require.NoError(t, err)
	upstream := strings.FieldsFunc(strings.TrimSpace(string(out)), func(r rune) bool { return r == ',' || r == '|' })
	require.NotEmpty(t, upstream)
	require.Regexp(t, "^https?://", upstream[0], "GOPROXY has to begin with a proxy")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/"+repo.Module+"/") {
			http.NotFound(w, r)
			return
		}
		http.Redirect(w, r, strings.TrimSuffix(upstream[0], "/")+r.URL.RequestURI(), http.StatusFound)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func (u *user) write(name, text string) {
	u.t.Helper()
	name = filepath.Join(u.dir, filepath.FromSlash(name))
	require.NoError(u.t, os.MkdirAll(filepath.Dir(name), 0o755))
	require.NoError(u.t, os.WriteFile(name, []byte(text), 0o600))
}

func (u *user) read(name string) string {
	u.t.Helper()
	text, err := os.ReadFile(filepath.Join(u.dir, name))
	require.NoError(u.t, err)
	return string(text)
}

// shell runs the commands of a block, one per line. Commands under a comment
// "# terminal N" go on in the background, but for the last of the block.
func (u *user) shell(text string) {
	u.t.Helper()
	background := false
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for i, line := range lines {
		switch {
		case strings.HasPrefix(line, "# terminal "):
			background = true
		case strings.HasPrefix(line, "#"):
		case background && i < len(lines)-1:
			u.start(strings.Fields(line))
		case background:
			u.eventually(strings.Fields(line))
		default:
			u.run(strings.Fields(line)...)
		}
	}
}

// run runs a command, which has to succeed, and points a new mod file to the
// checkout.
func (u *user) run(args ...string) {
	u.t.Helper()
	cmd, stderr := u.command(u.t.Context(), args)
	from := time.Now()
	out, err := cmd.Output()
	require.NoError(u.t, err, "%s\n%s%s", cmd, out, stderr)
	u.t.Logf("%6.1f s  %s", time.Since(from).Seconds(), strings.Join(args, " "))
	u.output = string(out)
	if slices.Equal(args[:min(3, len(args))], []string{"go", "mod", "init"}) {
		name := "go.mod"
		if after, ok := strings.CutPrefix(args[3], "-modfile="); ok {
			name = after
		}
		u.run("go", "mod", "edit", "-replace", repo.Module+"="+checkout(u.t), name)
	}
}

// fails runs a command that has to fail, and returns what it printed.
func (u *user) fails(args ...string) string {
	u.t.Helper()
	cmd, stderr := u.command(u.t.Context(), args)
	out, err := cmd.Output()
	require.Error(u.t, err, "%s", cmd)
	return string(out) + stderr.String()
}

// start runs a command until the test ends: then it gets an interrupt, as from
// Ctrl-C, and has to end well.
func (u *user) start(args []string) {
	u.t.Helper()
	isNATS := strings.Contains(strings.Join(args, " "), "/nats-server/")
	if isNATS {
		args = append(slices.Clone(args), "-a", "127.0.0.1", "-p", "-1", "--ports_file_dir", u.dir, "-sd", u.dir)
	}
	cmd, stderr := u.command(context.Background(), args)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // go run and what it runs
	require.NoError(u.t, cmd.Start())
	u.t.Cleanup(func() {
		require.NoError(u.t, syscall.Kill(-cmd.Process.Pid, syscall.SIGINT))
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		select {
		case err := <-ended: // go run says 1 after an interrupt, whatever its child says
			u.t.Logf("interrupted: %s: %v", cmd, err)
		case <-time.After(20 * time.Second):
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			u.t.Errorf("%s did not end when interrupted: %v\n%s", cmd, <-ended, stderr)
		}
		if args[len(args)-1] == "./server" {
			assert.Contains(u.t, stderr.String(), "INFO "+serving+" instance=")
			assert.NotContains(u.t, stderr.String(), "WARN", "the first minute is quiet")
		}
		if u.t.Failed() {
			u.t.Logf("%s\n%s", cmd, stderr)
		}
	})
	if isNATS {
		u.nats = u.natsAddress()
	}
}

// natsAddress waits for the file in which the NATS server names its ports.
func (u *user) natsAddress() string {
	u.t.Helper()
	var ports struct{ Nats []string }
	require.Eventually(u.t, func() bool {
		names, err := filepath.Glob(filepath.Join(u.dir, "*.ports"))
		if err != nil || len(names) != 1 {
			return false
		}
		text, err := os.ReadFile(names[0])
		return err == nil && json.Unmarshal(text, &ports) == nil && len(ports.Nats) > 0
	}, 5*time.Minute, 50*time.Millisecond, "the NATS server starts")
	return ports.Nats[0]
}

// eventually runs a command until it succeeds: what runs in the other terminals
// is being built at first.
func (u *user) eventually(args []string) {
	u.t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for {
		cmd, stderr := u.command(u.t.Context(), args)
		out, err := cmd.Output()
		if err == nil {
			u.output = string(out)
			return
		}
		require.Less(u.t, time.Now(), deadline, "%s\n%s%s", cmd, out, stderr)
		time.Sleep(200 * time.Millisecond)
	}
}

// command makes a command of a line's words; settings of variables come first.
func (u *user) command(ctx context.Context, args []string) (*exec.Cmd, *strings.Builder) {
	env := slices.Clone(u.env)
	for strings.Contains(args[0], "=") {
		env = append(env, strings.ReplaceAll(args[0], natsURL, u.nats))
		args = args[1:]
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir, cmd.Env = u.dir, env
	var stderr strings.Builder
	cmd.Stderr = &stderr
	return cmd, &stderr
}

// required lists the modules that a mod file requires.
func (u *user) required(name string) []string {
	u.t.Helper()
	u.run("go", "mod", "edit", "-json", name)
	var mod struct{ Require []struct{ Path string } }
	require.NoError(u.t, json.Unmarshal([]byte(u.output), &mod))
	paths := make([]string, len(mod.Require))
	for i, dep := range mod.Require {
		paths[i] = dep.Path
	}
	require.Contains(u.t, paths, repo.Module)
	return paths
}
