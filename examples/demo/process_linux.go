package main

import "syscall"

// childAttributes gives a child a process group of its own, so that Ctrl-C
// reaches the demo alone and it ends its children in order, and lets the child
// die with the demo should that be killed.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
