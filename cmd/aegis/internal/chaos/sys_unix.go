//go:build unix

package chaos

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// supported returns an error on systems without the signals.
func supported() error { return nil }

// stoppedWithin is how long the system may take to stop a process.
const stoppedWithin = 2 * time.Second

// strike sends the signal of a fault; that of pause is sent by freeze.
func (p *process) strike(k kind) error {
	s := syscall.SIGKILL
	if k == stop {
		s = syscall.SIGTERM
	}
	return p.signal(s)
}

func (p *process) signal(s os.Signal) error {
	err := p.handle.Signal(s)
	if errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("%s has ended: %w", p, err)
	}
	return err
}

// freeze stops the process until thaw is called, which may be called several times. It goes
// on however this command ends: a shell that waits for the end of a pipe sees to that.
func (p *process) freeze() (thaw func(), err error) {
	guard := exec.Command("/bin/sh", "-c", `read x; kill -CONT "$1"`, "sh", strconv.Itoa(p.pid)) //nolint:noctx,gosec // ended by its input
	guard.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}                                      // Ctrl-C is not for it
	end, err := guard.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := guard.Start(); err != nil {
		return nil, fmt.Errorf("start a shell that lets %s go on if this command ends: %w", p, err)
	}
	thaw = sync.OnceFunc(func() {
		_ = p.handle.Signal(syscall.SIGCONT) // fails only if the process has ended
		_ = end.Close()                      // fails only if the shell has ended
		_ = guard.Wait()                     // it fails if the process has ended
	})
	if err := p.signal(syscall.SIGSTOP); err != nil {
		thaw()
		return nil, err
	}
	for deadline := time.Now().Add(stoppedWithin); ; time.Sleep(time.Millisecond) {
		i, err := inspect(p.pid)
		if err == nil && i.stopped {
			return thaw, nil
		}
		if err == nil && time.Now().After(deadline) {
			err = fmt.Errorf("%s does not stop", p)
		}
		if err != nil {
			thaw()
			return nil, err
		}
	}
}
