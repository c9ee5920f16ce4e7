//go:build unix

package dev

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/devstate"
)

// lock makes this process the only one that runs the project, until the file is closed or
// the process ends: two NATS servers must not have the same files.
func lock(state string) (io.Closer, error) {
	f, err := os.OpenFile(filepath.Join(state, devstate.LockName), os.O_RDWR|os.O_CREATE, 0o600) //nolint:gosec // in the project
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		holder, _ := io.ReadAll(f) // for the text of the error alone
		_ = f.Close()              // it was only read
		return nil, fmt.Errorf("another aegis dev runs this project (process %s): end it first", strings.TrimSpace(string(holder)))
	}
	if err := f.Truncate(0); err != nil {
		return nil, err
	}
	if _, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0); err != nil {
		return nil, err
	}
	return f, nil
}

// lockPorts keeps other processes of this user that look for a port waiting until the
// returned function is called: NATS itself does not say soon that its port was taken
// between the look and its start. Where no file can be locked, nobody waits.
func lockPorts() (unlock func()) {
	path := filepath.Join(os.TempDir(), fmt.Sprintf("aegis-dev-%d.lock", os.Getuid()))
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) //nolint:gosec // its content does not count
	if err != nil {
		return func() {}
	}
	_ = syscall.Flock(int(f.Fd()), syscall.LOCK_EX) // fails only where files cannot be locked
	return func() { _ = f.Close() }                 // nothing was written
}

// notifyStartAgain has asked get the signals with which other commands ask for servers that
// have ended to be started again.
func notifyStartAgain(asked chan<- os.Signal) { signal.Notify(asked, syscall.SIGUSR1) }

// killGroup ends what a server has started and left behind. The server, which had a process
// group of its own, has ended.
func killGroup(pid int) { _ = syscall.Kill(-pid, syscall.SIGKILL) } // fails if nobody is left

// own gives a go command a process group of its own, so that Ctrl-C reaches this process
// alone. It is killed, with the compilers that it has started, when its context ends.
func own(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
