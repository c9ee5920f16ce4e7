// Package procs starts and ends child processes, for programs that break or
// measure what runs in them: the fault harness, the benchmark and the demo.
//
// A child dies with the process that started it, is signalled and killed by it,
// and can be told things over its standard input. Most children are the same
// binary again, in another role; procs does not care.
package procs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// Process is a child that was started. Its methods are safe for concurrent use.
type Process struct {
	// Name is for people, and for the error texts.
	Name string
	// Stdin is the child's standard input. Closing it asks most children to end.
	Stdin io.WriteCloser
	// Stdout is the child's standard output, nil where Start was given a reader.
	Stdout io.Reader

	cmd   *exec.Cmd
	ended chan struct{} // closed when the child has ended; guards err
	err   error         // of Wait
}

// Start starts cmd in a process group of its own. If read is not nil, it is given
// the child's standard output, and the child counts as ended only when read has
// returned.
func Start(name string, cmd *exec.Cmd, read func(io.Reader)) (*Process, error) {
	p := &Process{Name: name, cmd: cmd, ended: make(chan struct{})}
	cmd.SysProcAttr = childAttributes()
	var err error
	if p.Stdin, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	// A pipe of our own: that of exec.Cmd is closed when the child ends, whether
	// its output was read or not.
	out, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.Stdout = in
	started := make(chan error)
	go p.run(started, in, out, read)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", name, errors.Join(err, out.Close()))
	}
	if read == nil {
		p.Stdout = out
	}
	return p, nil
}

// run starts the child and waits for its end, on one thread: Linux takes the end
// of the thread that started a child for the parent's death.
func (p *Process) run(started chan<- error, in, out *os.File, read func(io.Reader)) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := p.cmd.Start()
	_ = in.Close() // the child has its own
	started <- err
	if err != nil {
		return
	}
	var reading chan struct{}
	if read != nil {
		reading = make(chan struct{})
		go func() {
			defer close(reading)
			read(out)
			_ = out.Close() // it was only read
		}()
	}
	p.err = p.cmd.Wait()
	if reading != nil {
		<-reading
	}
	close(p.ended)
}

// Pid returns the child's process id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Ended returns a channel that is closed when the child has ended.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Alive reports whether the child has not ended.
func (p *Process) Alive() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// Err waits for the child's end and returns what exec.Cmd.Wait said of it.
func (p *Process) Err() error {
	<-p.ended
	return p.err
}

// State waits for the child's end and returns its exit status.
func (p *Process) State() *os.ProcessState {
	<-p.ended
	return p.cmd.ProcessState
}

// Signal sends a signal, if the child has not ended.
func (p *Process) Signal(s os.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("send %v to %s: %w", s, p.Name, err)
	}
	return nil
}

// Kill ends the child at once (SIGKILL), if it has not ended, and returns when it
// has.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // fails only if the child has ended
	<-p.ended
}

// Tell writes a line to the child's standard input.
func (p *Process) Tell(line string) error {
	_, err := io.WriteString(p.Stdin, line+"\n")
	return err
}

// Finish closes the child's standard input and waits for its end. A child that
// takes longer than within, or than ctx lasts, is killed, which is an error, as is
// a bad exit status. To have died of a signal is none.
func (p *Process) Finish(ctx context.Context, within time.Duration) error {
	_ = p.Stdin.Close() // fails only if the child has ended
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	select {
	case <-p.ended:
		if p.err != nil && !strings.Contains(p.err.Error(), "signal") {
			return fmt.Errorf("%s: %w", p.Name, p.err)
		}
		return nil
	case <-ctx.Done():
		p.Kill()
		return fmt.Errorf("%s did not end within %v", p.Name, within)
	}
}
