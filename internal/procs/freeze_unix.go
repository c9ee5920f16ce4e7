//go:build unix

package procs

import "syscall"

// Freeze stops the child (SIGSTOP) until Thaw lets it go on (SIGCONT).
func (p *Process) Freeze() error { return p.Signal(syscall.SIGSTOP) }

// Thaw lets a child go on that Freeze has stopped.
func (p *Process) Thaw() error { return p.Signal(syscall.SIGCONT) }
