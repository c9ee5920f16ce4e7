//go:build !unix

package dev

import (
	"io"
	"os"
	"os/exec"
)

type noLock struct{}

func (noLock) Close() error { return nil }

// lock does nothing: NATS itself refuses files that are open.
func lock(string) (io.Closer, error) { return noLock{}, nil }

// lockPorts does nothing.
func lockPorts() (unlock func()) { return func() {} }

// notifyStartAgain does nothing: there is no such signal.
func notifyStartAgain(chan<- os.Signal) {}

// killGroup does nothing: there are no process groups.
func killGroup(int) {}

// own does nothing: there are no process groups.
func own(*exec.Cmd) {}
