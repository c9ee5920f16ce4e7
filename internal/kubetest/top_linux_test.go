package kubetest_test

import (
	"fmt"
	"io"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// terminal returns both ends of a terminal: the person's, and the program's.
func terminal(t *testing.T) (person, program *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = person.Close() })
	fd := int(person.Fd())
	require.NoError(t, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0))
	require.NoError(t, unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 100}))
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	require.NoError(t, err)
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	return person, program
}

func TestTopShowsTheCluster(t *testing.T) {
	w := newWorld(t)
	w.nats("nats-0")
	w.pods("nats-0")
	person, program := terminal(t)
	var screen log
	cmd := w.command([]string{"TERM=xterm"}, "top", "--kube")
	cmd.Stdin, cmd.Stdout = program, program
	p := w.start(cmd)
	require.NoError(t, program.Close()) // the command has its own
	go io.Copy(&screen, person)         //nolint:errcheck // until the terminal is closed
	p.until("it shows the service", func() bool { return screen.has(echoService) })
	_, err := person.WriteString("q")
	require.NoError(t, err)
	<-p.ended
	require.Zero(t, cmd.ProcessState.ExitCode())
}
