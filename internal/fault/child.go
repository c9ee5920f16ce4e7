//go:build linux

package main

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
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"github.com/aegisrpc/aegis/internal/fault/roles"
)

// child is a process that this one started. It dies with this one.
type child struct {
	name  string
	cmd   *exec.Cmd
	stdin io.WriteCloser
	ended chan struct{} // closed when it has ended
	err   error         // how, then
}

// event is a line that a child printed.
type event struct {
	from   *child
	name   string
	number uint64
	at     int64
}

// spawner starts children from one thread that lives as long as this process:
// Linux takes the end of the thread that started a child for the parent's death.
type spawner struct {
	requests chan func()
	stderr   string // the folder of what children print
	procs    int    // their GOMAXPROCS; 0: as Go has it
	events   chan<- event
}

func newSpawner(stderr string, events chan<- event) *spawner {
	s := &spawner{requests: make(chan func()), stderr: stderr, events: events}
	go func() {
		runtime.LockOSThread()
		for f := range s.requests {
			f()
		}
		select {} // the thread stays
	}()
	return s
}

// start starts a child in a role.
func (s *spawner) start(name, role string, order any) (*child, error) {
	text, err := json.Marshal(order)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	log, err := os.OpenFile(filepath.Join(s.stderr, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600) //nolint:gosec // our own folder
	if err != nil {
		return nil, err
	}
	defer log.Close() //nolint:errcheck // the child writes it
	c := &child{name: name, ended: make(chan struct{})}
	c.cmd = exec.Command(self) //nolint:gosec,noctx // itself; it is ended by kill
	c.cmd.Env = append(os.Environ(), roles.RoleVariable+"="+role, roles.OrderVariable+"="+string(text))
	if s.procs > 0 {
		c.cmd.Env = append(c.cmd.Env, "GOMAXPROCS="+strconv.Itoa(s.procs))
	}
	c.cmd.Stderr = log
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	started := make(chan error)
	s.requests <- func() { started <- c.cmd.Start() }
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go c.follow(stdout, s.events)
	return c, nil
}

// follow passes events on until the child has ended.
func (c *child) follow(stdout io.Reader, events chan<- event) {
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		e := event{from: c}
		if _, err := fmt.Sscan(lines.Text(), &e.name, &e.number, &e.at); err == nil {
			events <- e
		}
	}
	c.err = c.cmd.Wait()
	close(c.ended)
}

// signal sends a signal to a child that has not ended.
func (c *child) signal(sig syscall.Signal) error {
	if err := c.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal %v to %s: %w", sig, c.name, err)
	}
	return nil
}

// kill ends a child at once, and returns when it has ended.
func (c *child) kill() {
	_ = c.cmd.Process.Kill() // fails only if it has ended
	<-c.ended
}

func (c *child) command(line string) error {
	_, err := io.WriteString(c.stdin, line+"\n")
	return err
}

func (c *child) alive() bool {
	select {
	case <-c.ended:
		return false
	default:
		return true
	}
}

// finish lets a child come to its end, and kills it if that takes too long.
func (c *child) finish(ctx context.Context) error {
	_ = c.stdin.Close() // the sign to stop
	ctx, cancel := context.WithTimeout(ctx, finishWithin)
	defer cancel()
	select {
	case <-c.ended:
		if c.err != nil && !strings.Contains(c.err.Error(), "signal") {
			return fmt.Errorf("%s: %w", c.name, c.err)
		}
		return nil
	case <-ctx.Done():
		c.kill()
		return fmt.Errorf("%s did not end within %v", c.name, finishWithin)
	}
}
