//go:build unix

package devstate

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Lock makes this process the only one of its place, until the file is closed or the process
// ends. The directory has to be there.
func (p Place) Lock() (io.Closer, error) {
	f, err := os.OpenFile(filepath.Join(p.Dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		holder, _ := io.ReadAll(f) // for the text of the error alone
		_ = f.Close()              // it was only read
		return nil, fmt.Errorf("another %s runs here (process %s): end it first", p.Command, strings.TrimSpace(string(holder)))
	}
	if err := f.Truncate(0); err != nil {
		return nil, err
	}
	if _, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0); err != nil {
		return nil, err
	}
	return f, nil
}

// held tells whether a process holds a file locked. The number of a process does not tell
// whether it is still the same.
func held(path string) bool {
	f, err := os.OpenFile(path, os.O_RDWR, 0) //nolint:gosec // in a directory of the user's
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }() // it was not written, and gives a lock back
	return syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB) != nil
}

// StartAgain asks the command to start the servers again that have ended.
func (s *State) StartAgain() error { return syscall.Kill(s.PID, syscall.SIGUSR1) }

// notifyStartAgain has asked get what StartAgain of other processes asks for, until
// signal.Stop.
func notifyStartAgain(asked chan<- os.Signal) { signal.Notify(asked, syscall.SIGUSR1) }
