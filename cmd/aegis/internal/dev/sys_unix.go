//go:build unix

package dev

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

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

// killGroup ends what a server has started and left behind. The server, which had a process
// group of its own, has ended.
func killGroup(pid int) { _ = syscall.Kill(-pid, syscall.SIGKILL) } // fails if nobody is left

// own gives a go command a process group of its own, so that Ctrl-C reaches this process
// alone. It is killed, with the compilers that it has started, when its context ends.
func own(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
