//go:build !unix

package dev

import "os/exec"

// lockPorts does nothing.
func lockPorts() (unlock func()) { return func() {} }

// killGroup does nothing: there are no process groups.
func killGroup(int) {}

// own does nothing: there are no process groups.
func own(*exec.Cmd) {}
