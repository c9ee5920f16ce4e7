package kubetest_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// patience is how long a condition is waited for: a busy machine builds a program meanwhile.
const patience = 2 * time.Minute

// built is the command aegis of this checkout.
var built = sync.OnceValues(func() (string, error) {
	path, err := filepath.Abs("../../build/kubetest/aegis")
	if err != nil {
		return "", err
	}
	build := exec.CommandContext(context.Background(), "go", "build", "-C", "../..", "-o", path, "./cmd/aegis")
	if out, err := build.CombinedOutput(); err != nil {
		return "", errors.New(string(out))
	}
	return path, nil
})

// command returns the command aegis with these arguments, whose kubeconfig is the world's.
func (w *world) command(env []string, args ...string) *exec.Cmd {
	w.t.Helper()
	path, err := built()
	require.NoError(w.t, err)
	cmd := exec.Command(path, args...) //nolint:noctx // ended by who starts it
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "NATS_") && !strings.HasPrefix(v, "AEGIS_") && !strings.HasPrefix(v, "KUBE") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env, "KUBECONFIG="+w.kubeconfig, "XDG_CONFIG_HOME="+w.t.TempDir(), "NO_COLOR=1")
	cmd.Env = append(cmd.Env, env...)
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// result is how a command has ended.
type result struct {
	code     int
	out, err string
}

// run runs a command to its end.
func (w *world) run(args ...string) result {
	w.t.Helper()
	return w.runWith(nil, args...)
}

func (w *world) runWith(env []string, args ...string) result {
	w.t.Helper()
	cmd := w.command(env, args...)
	var out, problems strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &problems
	require.NoError(w.t, cmd.Start())
	ended := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer ended.Stop()
	if err := cmd.Wait(); err != nil {
		_, exit := errors.AsType[*exec.ExitError](err)
		require.True(w.t, exit, err)
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), problems.String()}
}

// process is a command that runs.
type process struct {
	t        *testing.T
	cmd      *exec.Cmd
	out, err log
	ended    chan struct{}
}

// start starts a command; it ends with the test, if not before.
func (w *world) start(cmd *exec.Cmd) *process {
	w.t.Helper()
	p := &process{t: w.t, cmd: cmd, ended: make(chan struct{})}
	if cmd.Stdout == nil {
		cmd.Stdout = &p.out
	}
	cmd.Stderr = &p.err
	require.NoError(w.t, cmd.Start())
	go func() {
		defer close(p.ended)
		_ = cmd.Wait() // the exit code tells
	}()
	w.t.Cleanup(func() {
		_ = cmd.Process.Kill() // fails only if it has ended
		<-p.ended
		if w.t.Failed() {
			w.t.Logf("%v:\n%s%s", cmd.Args[1:], p.out.String(), p.err.String())
		}
	})
	return p
}

// await waits until the command has written a text.
func (p *process) await(text string) {
	p.t.Helper()
	p.until("it writes "+text, func() bool { return p.out.has(text) || p.err.has(text) })
}

// until waits until something is so, as long as the command runs.
func (p *process) until(what string, is func() bool) {
	p.t.Helper()
	for deadline := time.Now().Add(patience); !is(); {
		select {
		case <-p.ended:
			require.True(p.t, is(), "it has ended before %s", what)
			return
		case <-time.After(5 * time.Millisecond):
		}
		require.True(p.t, time.Now().Before(deadline), "it takes too long until %s", what)
	}
}

// interrupt is Ctrl-C, and returns the exit code.
func (p *process) interrupt() int {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Signal(os.Interrupt))
	select {
	case <-p.ended:
	case <-time.After(patience):
		require.Fail(p.t, "it does not end")
	}
	return p.cmd.ProcessState.ExitCode()
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// move moves NATS, which has this address, from one pod to another one.
func (w *world) move(address, from, to string) {
	w.pods()
	w.RemovePod("shop", from, true)
	w.PutPod("shop", to, address)
	w.pods(to)
}
