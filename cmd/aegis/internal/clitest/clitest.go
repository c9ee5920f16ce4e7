// Package clitest runs the built command aegis in tests, as a shell would.
package clitest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aegisrpc/aegis/internal/leaktest"
)

// patience is how long a command may run before a test gives it up.
const patience = 60 * time.Second

// Result is how a command has ended.
type Result struct {
	Out, Err string
	Code     int // the exit code, -1 if a signal has ended the process
}

// built is the command, which all test processes of this checkout share: the first one builds
// it, below build/, and the others find it fresh, which takes the go command no time.
var built = sync.OnceValues(func() (string, error) {
	root, err := exec.CommandContext(context.Background(), "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(strings.TrimSpace(string(root)), "build", "clitest")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	path, args := filepath.Join(dir, "aegis"), []string{"build"}
	if raceEnabled {
		path, args = path+".race", append(args, "-race")
	}
	if err := uncached(dir); err != nil {
		return "", err
	}
	unlock, err := lock(path + ".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	args = append(args, "-o", path, "github.com/aegisrpc/aegis/cmd/aegis")
	out, err := exec.CommandContext(context.Background(), "go", args...).CombinedOutput() //nolint:gosec // arguments of its own
	if err != nil {
		return "", errors.New(string(out))
	}
	return path, nil
})

// uncached has the go command keep no result of these tests: it would take the same test for
// passed although the command, which it does not see, has changed. It keeps no result of a
// test that reads a file of the module which is only just written.
func uncached(dir string) error {
	path := filepath.Join(dir, "written")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		return err
	}
	_, err := os.Stat(path)
	return err
}

// Main runs the tests of a package, and checks that they leave no goroutine behind. TestMain
// calls it.
func Main(m *testing.M) { leaktest.Run(m) }

// Binary returns the path of the built command.
func Binary(tb testing.TB) string {
	tb.Helper()
	path, err := built()
	if err != nil {
		tb.Fatalf("build the command aegis: %v", err)
	}
	return path
}

// Run runs the command to its end. Its environment is that of the test without NATS's
// variables and the user's own configuration, and env, as os/exec has it.
func Run(tb testing.TB, env []string, args ...string) Result {
	tb.Helper()
	return RunInput(tb, env, "", args...)
}

// RunInput is Run with this standard input.
func RunInput(tb testing.TB, env []string, input string, args ...string) Result {
	tb.Helper()
	return start(tb, "", env, bytes.NewReader([]byte(input)), args).Wait(tb)
}

// RunIn is Run in a directory.
func RunIn(tb testing.TB, dir string, env []string, args ...string) Result {
	tb.Helper()
	return start(tb, dir, env, nil, args).Wait(tb)
}

// Process is a command that runs.
type Process struct {
	cmd  *exec.Cmd
	out  *Output
	err  *Output
	done chan struct{} // closed when the process has ended
}

// Start starts the command; it is killed when the test ends, if it still runs then.
func Start(tb testing.TB, env []string, args ...string) *Process {
	tb.Helper()
	return start(tb, "", env, nil, args)
}

// StartIn is Start in a directory.
func StartIn(tb testing.TB, dir string, env []string, args ...string) *Process {
	tb.Helper()
	return start(tb, dir, env, nil, args)
}

// StartInput is Start with this standard input.
func StartInput(tb testing.TB, env []string, in io.Reader, args ...string) *Process {
	tb.Helper()
	return start(tb, "", env, in, args)
}

func start(tb testing.TB, dir string, env []string, in io.Reader, args []string, change ...func(*exec.Cmd)) *Process {
	tb.Helper()
	cmd := exec.Command(Binary(tb), args...) //nolint:noctx,gosec // ended below, built here
	p := &Process{cmd: cmd, out: newOutput(), err: newOutput(), done: make(chan struct{})}
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = in, p.out, p.err
	p.cmd.Dir, p.cmd.WaitDelay = dir, time.Second
	p.cmd.Env = append(environment(tb), env...)
	for _, c := range change {
		c(cmd)
	}
	if err := p.cmd.Start(); err != nil {
		tb.Fatalf("start aegis: %v", err)
	}
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait() // the exit code tells
	}()
	tb.Cleanup(func() {
		_ = p.cmd.Process.Kill() // fails only if the process has ended
		<-p.done
	})
	return p
}

// StartTo starts the command with a standard output of the test's own, which Process.Out
// does not have then.
func StartTo(tb testing.TB, env []string, out *os.File, args ...string) *Process {
	tb.Helper()
	return start(tb, "", env, nil, args, func(c *exec.Cmd) { c.Stdout = out })
}

// environment returns the environment of the test without what would change how the
// command behaves.
func environment(tb testing.TB) []string {
	tb.Helper()
	var env []string
	for _, v := range os.Environ() {
		if name := []byte(v); !bytes.HasPrefix(name, []byte("NATS_")) && !bytes.HasPrefix(name, []byte("AEGIS_")) &&
			!bytes.HasPrefix(name, []byte("XDG_CONFIG_HOME=")) {
			env = append(env, v)
		}
	}
	return append(env, "XDG_CONFIG_HOME="+tb.TempDir(), "NO_COLOR=1")
}

// Out returns the standard output of the command.
func (p *Process) Out() *Output { return p.out }

// Err returns the standard error of the command.
func (p *Process) Err() *Output { return p.err }

// Pid returns the id of the process.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Interrupt is Ctrl-C.
func (p *Process) Interrupt(tb testing.TB) {
	tb.Helper()
	p.Signal(tb, syscall.SIGINT)
}

// Signal sends a signal.
func (p *Process) Signal(tb testing.TB, s os.Signal) {
	tb.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		tb.Fatalf("signal aegis: %v", err)
	}
}

// Wait waits until the command has ended. The test fails if that takes longer than a minute.
func (p *Process) Wait(tb testing.TB) Result {
	tb.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		_ = p.cmd.Process.Signal(syscall.SIGQUIT) // its goroutines come to standard error
		<-p.done
		tb.Fatalf("aegis %v runs after %v\nstdout: %s\nstderr: %s", p.cmd.Args[1:], patience, p.out, p.err)
	}
	return Result{Out: p.out.String(), Err: p.err.String(), Code: p.cmd.ProcessState.ExitCode()}
}
