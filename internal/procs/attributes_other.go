//go:build !linux

package procs

import "syscall"

func childAttributes() *syscall.SysProcAttr { return nil }
