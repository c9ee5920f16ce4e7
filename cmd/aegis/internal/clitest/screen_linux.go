package clitest

import (
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/charmbracelet/x/ansi"
	"github.com/charmbracelet/x/vt"
	"golang.org/x/sys/unix"
)

// Screen is a command on a terminal that shows its output as a person sees it, and sends it
// keys.
type Screen struct {
	*Process

	terminal *vt.SafeEmulator
	person   *os.File
	before   unix.Termios
	drawn    chan struct{} // closed when nothing is drawn any more
}

// StartScreen is Start with a terminal of this size as standard input and output.
func StartScreen(tb testing.TB, columns, rows int, env []string, args ...string) *Screen {
	tb.Helper()
	person, program := Terminal(tb, uint16(columns))
	s := &Screen{terminal: vt.NewSafeEmulator(columns, rows), person: person, drawn: make(chan struct{})}
	s.setSize(tb, columns, rows)
	s.before = s.modes(tb)
	s.Process = start(tb, "", append([]string{"TERM=xterm-256color"}, env...), nil, args, func(c *exec.Cmd) {
		c.Stdin, c.Stdout = program, program
		c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	})
	_ = program.Close() // the process has its own
	s.out = newOutput()
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		_, _ = io.Copy(person, s.terminal) // what a terminal answers to questions
	}()
	go func() {
		defer close(s.drawn)
		_, _ = io.Copy(io.MultiWriter(s.terminal, s.out), person) // EIO when the process has ended
	}()
	tb.Cleanup(func() {
		_ = s.cmd.Process.Kill() // fails only if the process has ended
		<-s.drawn
		if pipe, ok := s.terminal.InputPipe().(io.Closer); ok { // its own Close is not for concurrent use
			_ = pipe.Close() // does not fail
		}
		<-answered
	})
	return s
}

// Text returns what is on the screen.
func (s *Screen) Text() string {
	lines := strings.Split(ansi.Strip(s.terminal.Render()), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " \r")
	}
	return strings.Join(lines, "\n")
}

// AwaitText waits until the screen has a text, and returns all of it then.
func (s *Screen) AwaitText(tb testing.TB, text string) string {
	tb.Helper()
	return s.AwaitScreen(tb, "has "+text, func(screen string) bool { return strings.Contains(screen, text) })
}

// AwaitScreen waits until the screen satisfies a condition that is told as what.
func (s *Screen) AwaitScreen(tb testing.TB, what string, holds func(screen string) bool) string {
	tb.Helper()
	tb.Cleanup(func() {
		if tb.Failed() {
			tb.Logf("the screen at the end:\n%s", s.Text())
		}
	})
	text := ""
	s.out.AwaitThat(tb, "makes a screen that "+what, func(string) bool {
		text = s.Text()
		return holds(text)
	})
	return text
}

// Type sends keys.
func (s *Screen) Type(tb testing.TB, keys string) {
	tb.Helper()
	if _, err := s.person.WriteString(keys); err != nil {
		tb.Fatalf("type %q: %v", keys, err)
	}
}

// Resize changes the size of the terminal.
func (s *Screen) Resize(tb testing.TB, columns, rows int) {
	tb.Helper()
	s.terminal.Resize(columns, rows)
	s.setSize(tb, columns, rows)
}

// AssertRestored fails the test unless the command has ended and left the terminal as it was.
func (s *Screen) AssertRestored(tb testing.TB) {
	tb.Helper()
	<-s.done
	<-s.drawn
	switch {
	case s.terminal.IsAltScreen():
		tb.Error("the alternate screen is still there")
	case s.terminal.CursorHidden():
		tb.Error("the cursor is hidden")
	case s.modes(tb) != s.before:
		tb.Error("the terminal has other modes than before")
	}
}

func (s *Screen) setSize(tb testing.TB, columns, rows int) {
	tb.Helper()
	size := unix.Winsize{Row: uint16(rows), Col: uint16(columns)}
	if err := unix.IoctlSetWinsize(int(s.person.Fd()), unix.TIOCSWINSZ, &size); err != nil {
		tb.Fatalf("resize the terminal: %v", err)
	}
}

func (s *Screen) modes(tb testing.TB) unix.Termios {
	tb.Helper()
	modes, err := unix.IoctlGetTermios(int(s.person.Fd()), unix.TCGETS)
	if err != nil {
		tb.Fatalf("read the modes of the terminal: %v", err)
	}
	return *modes
}
