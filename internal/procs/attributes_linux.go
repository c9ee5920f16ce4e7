package procs

import "syscall"

// childAttributes gives a child a process group of its own, so that Ctrl-C
// reaches the parent alone and that ends its children in order, and lets the child
// die with its parent should that be killed.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
