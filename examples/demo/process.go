package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// process is a child whose standard output the demo reads. It is used by one
// goroutine; another may read stdout as long as that one does not.
type process struct {
	name   string
	stdout *bufio.Reader
	cmd    *exec.Cmd
	ctx    context.Context //nolint:containedctx // the end of the process's life, and the reason for it
	stderr bytes.Buffer    // complete, and to be read, once the process has been waited for
}

// startProcess starts a process that is killed when ctx ends.
func startProcess(ctx context.Context, name, path string, args ...string) (*process, error) {
	cmd := exec.CommandContext(ctx, path, args...) //nolint:gosec // the demo's own programs
	p := &process{name: name, ctx: ctx, cmd: cmd}
	p.cmd.SysProcAttr = childAttributes()
	p.cmd.Stderr = &p.stderr
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.stdout = bufio.NewReader(stdout)
	return p, p.cmd.Start()
}

func (p *process) String() string {
	return fmt.Sprintf("%s (process %d)", p.name, p.cmd.Process.Pid)
}

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

// kill ends the process at once, if it has not ended, as SIGKILL does.
func (p *process) kill() error {
	if p.cmd.ProcessState != nil {
		return nil
	}
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill %s: %w", p.name, err)
	}
	_ = p.cmd.Wait() // that it was killed is no news
	return nil
}

// terminate asks the process to end (SIGTERM), waits until it has, and returns
// what it had still printed.
func (p *process) terminate() (string, error) {
	if err := p.signal(syscall.SIGTERM); err != nil {
		return "", err
	}
	return p.finish()
}

// signal sends a signal, if the process has not ended.
func (p *process) signal(s os.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("send %v to %s: %w", s, p.name, err)
	}
	return nil
}

// finish waits until the process ends by itself, and returns what it had still
// printed.
func (p *process) finish() (string, error) {
	rest, readErr := io.ReadAll(p.stdout)
	if err := errors.Join(readErr, p.cmd.Wait()); err != nil { // failure says with what status
		return "", p.failure("it did not end well")
	}
	return string(rest), nil
}

// failure ends the process and returns an error that says why it is a failure,
// with what the process said about it.
func (p *process) failure(why string) error {
	cause := context.Cause(p.ctx)
	if err := p.kill(); err != nil {
		return err
	}
	if cause != nil {
		why = cause.Error()
	}
	return errors.New(strings.TrimSpace(fmt.Sprintf("- %s: %s (%s)\n%s", p.name, why, p.cmd.ProcessState, &p.stderr)))
}
