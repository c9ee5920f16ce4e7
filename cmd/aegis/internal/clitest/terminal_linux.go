package clitest

import (
	"fmt"
	"io"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// Terminal returns both ends of a terminal with so many columns: the person's, and the
// program's.
func Terminal(tb testing.TB, columns uint16) (person, program *os.File) {
	tb.Helper()
	must := func(err error) {
		if err != nil {
			tb.Fatalf("open a terminal: %v", err)
		}
	}
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	must(err)
	tb.Cleanup(func() { _ = person.Close() })
	fd := int(person.Fd())
	must(unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0))
	must(unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: columns}))
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	must(err)
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	must(err)
	tb.Cleanup(func() { _ = program.Close() })
	return person, program
}

// RunTerminal is Run with a terminal of so many columns as the standard output.
func RunTerminal(tb testing.TB, columns uint16, env []string, args ...string) Result {
	tb.Helper()
	p, out := StartTerminal(tb, columns, env, args...)
	r := p.Wait(tb)
	r.Out = out()
	return r
}

// StartTerminal is Start with a terminal of so many columns as the standard output. out
// returns what the command has written there, when the command has ended.
func StartTerminal(tb testing.TB, columns uint16, env []string, args ...string) (p *Process, out func() string) {
	tb.Helper()
	person, program := Terminal(tb, columns)
	p = StartTo(tb, append([]string{"TERM=xterm"}, env...), program, args...)
	_ = program.Close() // the process has its own
	shown := newOutput()
	read := make(chan struct{})
	go func() {
		defer close(read)
		_, _ = io.Copy(shown, person) // EIO when the process has ended
	}()
	p.out = shown
	return p, func() string {
		<-read
		return shown.String()
	}
}
