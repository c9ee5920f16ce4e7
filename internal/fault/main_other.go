//go:build !linux

// Command fault needs Linux: signals, /proc and children that die with their
// parent are used as they are there.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "fault: the fault harness runs on Linux only; in a container it runs everywhere")
	os.Exit(1)
}
