package demo

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"syscall"

	"github.com/aegisrpc/aegis/internal/procs"
)

// process is a child whose standard output the demo reads. It is used by one
// goroutine; another may read stdout as long as that one does not.
type process struct {
	*procs.Process

	stdout *bufio.Reader
	ctx    context.Context //nolint:containedctx // the end of the process's life, and the reason for it
	stderr bytes.Buffer    // complete, and to be read, once the process has ended
}

// startProcess starts a process that is killed when ctx ends.
func startProcess(ctx context.Context, name, path string, args ...string) (*process, error) {
	p := &process{ctx: ctx}
	cmd := exec.CommandContext(ctx, path, args...) //nolint:gosec // the demo's own programs
	cmd.Stderr = &p.stderr
	var err error
	if p.Process, err = procs.Start(name, cmd, nil); err != nil {
		return nil, err
	}
	p.stdout = bufio.NewReader(p.Stdout)
	return p, nil
}

func (p *process) String() string { return fmt.Sprintf("%s (process %d)", p.Name, p.Pid()) }

// awaitLine reads what the process prints until a line contains text.
func (p *process) awaitLine(text string) error {
	for {
		line, err := p.stdout.ReadString('\n')
		if strings.Contains(line, text) {
			return nil
		}
		if err != nil {
			return p.failure(fmt.Sprintf("it ended before it printed %q", text))
		}
	}
}

// killRunning ends the process at once, as SIGKILL does. It is an error if the process
// has ended by itself before.
func (p *process) killRunning() error {
	p.Kill()
	if p.State().Exited() {
		return p.failure("it had ended by itself before it was to be killed")
	}
	return nil
}

// terminate asks the process to end (SIGTERM), waits until it has, and returns
// what it had still printed.
func (p *process) terminate() (string, error) {
	if err := p.Signal(syscall.SIGTERM); err != nil {
		return "", err
	}
	return p.finish()
}

// finish waits until the process ends by itself, and returns what it had still
// printed.
func (p *process) finish() (string, error) {
	rest, readErr := io.ReadAll(p.stdout)
	if err := errors.Join(readErr, p.Err()); err != nil { // failure says with what status
		return "", p.failure("it did not end well")
	}
	return string(rest), nil
}

// failure ends the process and returns an error that says why it is a failure,
// with what the process said about it.
func (p *process) failure(why string) error {
	cause := context.Cause(p.ctx)
	p.Kill()
	if cause != nil {
		why = cause.Error()
	}
	return errors.New(strings.TrimSpace(fmt.Sprintf("- %s: %s (%s)\n%s", p.Name, why, p.State(), &p.stderr)))
}
