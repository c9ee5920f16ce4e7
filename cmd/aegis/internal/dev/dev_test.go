//go:build unix

package dev

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/clitest"
)

// patience is how long a condition is waited for.
const patience = 2 * time.Minute

// write writes a file of a project.
func write(t *testing.T, dir, name, text string) {
	t.Helper()
	path := filepath.Join(dir, filepath.FromSlash(name))
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
}

// edit replaces a text in a file.
func edit(t *testing.T, dir, name, before, with string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
	require.NoError(t, err)
	require.Contains(t, string(text), before)
	write(t, dir, name, strings.Replace(string(text), before, with, 1))
}

// project makes a project of one program, which needs nothing but the standard library.
func tinyProject(t *testing.T, main string) string {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, "go.mod", "module example.com/tiny\n\ngo 1.26.0\n")
	write(t, dir, "server/main.go", main)
	return dir
}

// serving is a program that says so, and ends well when it is asked to.
const serving = `package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	fmt.Println("serving by", os.Getenv("NATS_URL"), "and", os.Getenv("NATS_CREDS"))
	<-stop
	fmt.Println("stopped")
}
`

var (
	urls = regexp.MustCompile(`NATS with JetStream listens on (nats://127\.0\.0\.1:(\d+))`)
	pids = regexp.MustCompile(`(\S+) runs as process (\d+)`)
)

// urlOf waits for the address of dev's NATS.
func urlOf(t *testing.T, p *clitest.Process) string {
	t.Helper()
	out := p.Out().Await(t, "\n")
	found := urls.FindStringSubmatch(out)
	require.NotNil(t, found, out)
	return found[1]
}

// started returns the ids of all processes that dev has started.
func started(t *testing.T, out string) []int {
	t.Helper()
	var all []int
	for _, found := range pids.FindAllStringSubmatch(out, -1) {
		pid, err := strconv.Atoi(found[2])
		require.NoError(t, err)
		all = append(all, pid)
	}
	return all
}

// awaitGone waits until no process with these ids is there. Somebody else may have to
// collect those whose parent was killed; they have ended all the same.
func awaitGone(t *testing.T, ids []int) {
	t.Helper()
	require.NotEmpty(t, ids)
	for _, pid := range ids {
		require.Eventually(t, func() bool { return gone(pid) }, patience, 20*time.Millisecond, "process %d", pid)
	}
}

func gone(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return true
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return os.IsNotExist(err)
	}
	_, state, _ := strings.Cut(string(stat), ") ")
	return strings.HasPrefix(state, "Z")
}

// interrupt is Ctrl-C, after which nothing may be left.
func interrupt(t *testing.T, p *clitest.Process) string {
	t.Helper()
	p.Interrupt(t)
	r := p.Wait(t)
	assert.Equal(t, 130, r.Code, r.Err)
	awaitGone(t, started(t, r.Out))
	return r.Out
}

func TestFromAnEmptyFolderToAnAnsweredCall(t *testing.T) {
	t.Parallel()
	begun := time.Now()
	r := clitest.RunIn(t, t.TempDir(), nil, "--help") // builds the command outside of the figure
	require.Equal(t, 0, r.Code)
	folder := t.TempDir()
	made := time.Now()
	r = clitest.RunIn(t, folder, nil, "init", "shop", "--pattern", "load_balanced,event")
	require.Equal(t, 0, r.Code, r.Err)
	dir := filepath.Join(folder, "shop")
	p := clitest.StartIn(t, dir, nil, "dev")
	call := client(t, dir, urlOf(t, p))
	call("Hello, NATS!")
	t.Logf("init and dev to the first answered call: %v (building aegis before: %v)", time.Since(made).Round(time.Millisecond), made.Sub(begun).Round(time.Millisecond))
	assert.Contains(t, p.Out().Await(t, "ShopService/Hello"), ` shop.v1.ShopService/Hello '{"name": "NATS"}'`+"\n")
	assert.Contains(t, p.Out().Await(t, "ShopService/Joined"), ` shop.v1.ShopService/Joined '{"name": "NATS"}'`+"\n")

	edit(t, dir, "internal/service/hello.go", `"Hello, "`, `"Good day, "`)
	call("Good day, NATS!")

	// What does not build is told with its place, and the server goes on.
	edit(t, dir, "internal/service/hello.go", `"Good day, "`, `"Good day, " + nothing`)
	p.Out().Await(t, "internal/service/hello.go:")
	p.Out().Await(t, "undefined: nothing")
	p.Out().Await(t, "The servers go on as they were built before.")
	call("Good day, NATS!")
	edit(t, dir, "internal/service/hello.go", `"Good day, " + nothing`, `"Good evening, "`)
	call("Good evening, NATS!")

	// So is a proto with a mistake.
	const proto = "proto/shop/v1/shop.proto"
	edit(t, dir, proto, "  string text = 1;", "  strin text = 1;")
	p.Out().Await(t, proto+":")
	edit(t, dir, proto, "  strin text = 1;", "  string text = 1;\n  // A field more.\n  string more = 3;")
	generated := filepath.Join(dir, "gen", "shop", "v1", "shop.pb.go")
	require.Eventually(t, func() bool {
		text, err := os.ReadFile(generated)
		return err == nil && strings.Contains(string(text), "GetMore()")
	}, patience, 50*time.Millisecond, "the code is generated")
	call("Good evening, NATS!")
	interrupt(t, p)
}

// client builds the client of a project and returns a function that runs it until it
// prints a text.
func client(t *testing.T, dir, url string) func(want string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "client")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", path, "./client")
	build.Dir = dir
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return func(want string) {
		t.Helper()
		var out []byte
		require.Eventually(t, func() bool {
			cmd := exec.CommandContext(t.Context(), path)
			cmd.Env = append(os.Environ(), "NATS_URL="+url)
			out, err = cmd.CombinedOutput()
			return err == nil && strings.Contains(string(out), want)
		}, patience, 50*time.Millisecond, "the client prints %q", want)
	}
}

func TestServersHaveTheNATSOfDevAndNoOther(t *testing.T) {
	t.Parallel()
	dir := tinyProject(t, serving)
	p := clitest.StartIn(t, dir, []string{"NATS_URL=nats://192.0.2.1:4222", "NATS_CREDS=/nowhere"}, "dev", "--instances", "2")
	url := urlOf(t, p)
	p.Out().Await(t, "server-1 | serving by "+url+" and \n")
	p.Out().Await(t, "server-2 | serving by "+url+" and \n")
	out := interrupt(t, p)
	assert.Contains(t, out, "server-1 | stopped\n")
	assert.Contains(t, out, "server-2 | stopped\n")
	assert.Len(t, started(t, out), 2)
	assert.Equal(t, []string{".gitignore", "bin", "lock", "nats"}, names(t, filepath.Join(dir, ".aegis")))
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

func TestServerThatFailsIsStartedAgainMoreAndMoreSlowly(t *testing.T) {
	t.Parallel()
	dir := tinyProject(t, "package main\n\nimport (\n\t\"fmt\"\n\t\"os\"\n)\n\nfunc main() {\n\tfmt.Fprintln(os.Stderr, \"no luck\")\n\tos.Exit(3)\n}\n")
	p := clitest.StartIn(t, dir, nil, "dev")
	out := p.Out().Await(t, "server is started again in 2s, or when its files change")
	assert.Contains(t, out, "server | no luck\n")
	assert.Contains(t, out, "server failed: exit status 3\n")
	assert.Contains(t, out, "server is started again in 1s,")
	write(t, dir, "server/main.go", serving)
	p.Out().Await(t, "server | serving by")
	interrupt(t, p)
}

func TestServerThatDoesNotStopIsKilledWithItsChildren(t *testing.T) {
	t.Parallel()
	dir := tinyProject(t, `package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	signal.Ignore(syscall.SIGTERM)
	child := exec.Command("sleep", "1000")
	child.Stdout = os.Stdout
	if err := child.Start(); err != nil {
		panic(err)
	}
	fmt.Println("child runs as process", child.Process.Pid)
	time.Sleep(time.Hour)
}
`)
	p := clitest.StartIn(t, dir, nil, "dev", "--grace", "200ms")
	p.Out().Await(t, "child runs as process")
	out := interrupt(t, p)
	assert.Contains(t, out, "server has not stopped within 200ms, and is killed")
	assert.Len(t, started(t, out), 2, "the server and its child")
}

func TestFileThatIsEmbeddedRestartsTheServer(t *testing.T) {
	t.Parallel()
	dir := tinyProject(t, `package main

import (
	_ "embed"
	"fmt"
)

//go:embed text.txt
var text string

func main() {
	fmt.Println("the text is", text)
}
`)
	write(t, dir, "server/text.txt", "old")
	p := clitest.StartIn(t, dir, nil, "dev")
	p.Out().Await(t, "the text is old")
	p.Out().Await(t, "server has ended by itself")
	write(t, dir, "server/text.txt", "new")
	p.Out().Await(t, "the text is new")
	interrupt(t, p)
}

func TestNewDirectoryIsWatched(t *testing.T) {
	t.Parallel()
	dir := tinyProject(t, "package main\n\nimport \"example.com/tiny/internal/text\"\n\nfunc main() {\n\tprintln(text.Text)\n}\n")
	p := clitest.StartIn(t, dir, nil, "dev")
	p.Out().Await(t, "No server runs yet. Mend this, and it goes on by itself.")
	write(t, dir, "internal/text/text.go", "package text\n\nconst Text = \"old\"\n")
	p.Out().Await(t, "server | old\n")
	write(t, dir, "internal/text/text.go", "package text\n\nconst Text = \"new\"\n")
	p.Out().Await(t, "server | new\n")
	interrupt(t, p)
}

func TestSecondDevInOneProjectIsRefused(t *testing.T) {
	t.Parallel()
	dir := tinyProject(t, serving)
	p := clitest.StartIn(t, dir, nil, "dev")
	p.Out().Await(t, "server | serving")
	r := clitest.RunIn(t, filepath.Join(dir, "server"), nil, "dev")
	assert.Equal(t, 1, r.Code)
	assert.Equal(t, fmt.Sprintf("aegis: another aegis dev runs here (process %d): end it first\n", p.Pid()), r.Err)
	interrupt(t, p)
}

// It runs alone: the other tests, in which dev takes port 4222, come and go.
func TestPortThatIsTaken(t *testing.T) { //nolint:paralleltest // as above
	dir := tinyProject(t, serving)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	r := clitest.RunIn(t, dir, nil, "dev", "--port", port)
	assert.Equal(t, 1, r.Code)
	assert.Contains(t, r.Err, "NATS cannot listen on port "+port)
	assert.Contains(t, r.Err, "address already in use; name another --port, or leave it out for a free one")

	// If this fails, another program listens on 4222, which is as good.
	if l, err := net.Listen("tcp", "127.0.0.1:4222"); err == nil {
		defer l.Close()
	}
	p := clitest.StartIn(t, dir, nil, "dev")
	url := urlOf(t, p)
	assert.NotEqual(t, "nats://127.0.0.1:4222", url)
	p.Out().Await(t, "Another program listens on port 4222.")
	p.Out().Await(t, "Programs find this NATS by NATS_URL="+url+", and aegis by --server "+url+".")
	p.Out().Await(t, "serving by "+url)
	interrupt(t, p)
}

func TestNobodyOutlivesDevThatIsKilled(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("only Linux tells a child that its parent was killed")
	}
	p := clitest.StartIn(t, tinyProject(t, serving), nil, "dev", "--instances", "3")
	out := p.Out().AwaitThat(t, "has three servers", func(out string) bool { return strings.Count(out, "| serving by") == 3 })
	p.Signal(t, syscall.SIGKILL)
	p.Wait(t)
	awaitGone(t, started(t, out))
}

func TestWithAnotherNATSNoneIsStarted(t *testing.T) {
	t.Parallel()
	own := clitest.StartIn(t, tinyProject(t, serving), nil, "dev")
	url := urlOf(t, own)
	own.Out().Await(t, "server | serving")
	p := clitest.StartIn(t, tinyProject(t, serving), nil, "dev", "--server", url)
	p.Out().Await(t, "server | serving by "+url)
	assert.NotContains(t, interrupt(t, p), "NATS with JetStream listens")
	interrupt(t, own)
}

func TestOutputThatNobodyReadsEndsDevGracefully(t *testing.T) {
	t.Parallel()
	dir := tinyProject(t, `package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	for {
		select {
		case <-stop:
			os.WriteFile("stopped", nil, 0o600)
			return
		case <-time.After(10 * time.Millisecond):
			fmt.Println("tick")
		}
	}
}
`)
	cmd := exec.CommandContext(t.Context(), clitest.Binary(t), "dev")
	cmd.Dir = dir
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if lines.Text() == "server | tick" {
			break
		}
	}
	require.NoError(t, out.Close())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		require.NoError(t, err)
	case <-time.After(patience):
		t.Error("it runs for nobody")
	}
	assert.FileExists(t, filepath.Join(dir, "stopped"))
}

func TestJSONOutputHasALineForEachLine(t *testing.T) {
	t.Parallel()
	p := clitest.StartIn(t, tinyProject(t, serving), nil, "dev", "-o", "json")
	p.Out().Await(t, `{"from":"server","text":"serving by nats://127.0.0.1:`)
	assert.Contains(t, p.Out().String(), `{"from":"aegis","text":"NATS with JetStream listens on`)
	p.Interrupt(t)
	assert.Equal(t, 130, p.Wait(t).Code)
}

func TestWrongUseIsRefused(t *testing.T) {
	t.Parallel()
	empty := t.TempDir()
	without := t.TempDir()
	write(t, without, "go.mod", "module example.com/tiny\n\ngo 1.26.0\n")
	library := tinyProject(t, "package server\n")
	two := tinyProject(t, serving)
	write(t, two, "client/main.go", serving)
	for _, test := range []struct {
		dir  string
		args []string
		want string
	}{
		{empty, nil, "has a go.mod, so that it is in no project of aegis dev: change into one, or make one with `aegis init NAME`"},
		{without, nil, "has neither ./server nor ./cmd, where servers are looked for"},
		{library, nil, "there is no main package in ./server/..."},
		{library, []string{"./server"}, "package example.com/tiny/server is no program"},
		{library, []string{"./nowhere"}, "nowhere"},
		{two, []string{"--instances", "0"}, "--instances 0: use 1 to 100"},
		{two, []string{"--grace", "0s"}, "--grace 0s: use more than 0"},
		{two, []string{"--port", "70000"}, "--port 70000: use 1 to 65535"},
		{two, []string{"--server", "nats://127.0.0.1:1", "--clean"}, "--clean deletes the files of the NATS that dev starts"},
		{two, []string{"--server", "nats://127.0.0.1:1", "--port", "5000"}, "--port is for the NATS that dev starts"},
	} {
		r := clitest.RunIn(t, test.dir, nil, append([]string{"dev"}, test.args...)...)
		assert.Equal(t, 2, r.Code, "%q", test.args)
		assert.Contains(t, r.Err, test.want, "%q", test.args)
	}
}
