//go:build unix

package devstate

import (
	"os"
	"syscall"
)

// held tells whether a process holds a file locked. The number of a process does not tell
// whether it is still the same.
func held(path string) bool {
	f, err := os.OpenFile(path, os.O_RDWR, 0) //nolint:gosec // in the user's project
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }() // it was not written, and gives a lock back
	return syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB) != nil
}

// StartAgain asks aegis dev to start the servers again that have ended.
func (s *State) StartAgain() error { return syscall.Kill(s.PID, syscall.SIGUSR1) }
