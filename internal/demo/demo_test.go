package demo

import (
	"bufio"
	"bytes"
	"context"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/program"
)

const (
	// asDemo makes the test's program the demo, so that nothing else is built.
	asDemo = "AEGIS_TEST_AS_DEMO"
	// runLimit is for a demo that hangs.
	runLimit = 90 * time.Second
)

func TestMain(m *testing.M) {
	if os.Getenv(asDemo) != "" {
		program.Main("demo", Run)
		return
	}
	os.Exit(m.Run())
}

func TestDemoEndsWellAndLeavesNothing(t *testing.T) {
	t.Parallel()
	d := startDemo(t)
	require.Equal(t, 0, d.finish(), d)
	require.Empty(t, d.stderr.String(), d)
	require.Contains(t, d.stdout.String(), "All went as promised.")
	require.Contains(t, d.stdout.String(), "make test")
	d.requireTableAddsUp()
	require.Regexp(t, `(?m)^  commands +6  done, .*; 1 more canceled$`, d.stdout.String())
	require.Regexp(t, `(?m)^  lost +0  `, d.stdout.String())
	for when, times := range map[string]int{"before the faults": 2, "meanwhile": 3, "after the faults": 2} {
		require.Equal(t, times, strings.Count(d.stdout.String(), "the registry "+when), d)
	}
	require.Regexp(t, `order-\d +RUNNING +default +A\+`, d.stdout.String())
	d.requireNothingLeft(4)
}

func TestDemoInterruptedWhileItCallsLeavesNothing(t *testing.T) {
	t.Parallel()
	d := startDemo(t)
	d.awaitLine("echo-1 was killed")
	d.interrupt(4)
}

func TestDemoFailsWhenAServerDiesThatShouldNot(t *testing.T) {
	t.Parallel()
	d := startDemo(t)
	line := d.awaitLine("echo-3 (process")
	echo3, err := os.FindProcess(pids(line)[2])
	require.NoError(t, err)
	require.NoError(t, echo3.Kill())
	require.Equal(t, 1, d.finish(), d)
	require.Contains(t, d.stderr.String(), "echo-3: it did not end well (signal: killed)", d)
	require.NotContains(t, d.stdout.String(), "All went as promised.")
	d.requireNothingLeft(4)
}

func TestDemoRefusesArguments(t *testing.T) {
	err := Run(t.Context(), []string{"--fast"}, os.Stdout)
	require.EqualError(t, err, `unknown argument "--fast"; the demo takes none`)
}

// demoRun is a running demo.
type demoRun struct {
	t      *testing.T
	cmd    *exec.Cmd
	lines  *bufio.Reader
	stdout strings.Builder
	stderr bytes.Buffer
	temp   string
}

// startDemo starts the demo with a folder for temporary files of its own.
func startDemo(t *testing.T) *demoRun {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), runLimit)
	path, err := os.Executable()
	require.NoError(t, err)
	d := &demoRun{t: t, cmd: exec.CommandContext(ctx, path), temp: t.TempDir()}
	d.cmd.Env = append(os.Environ(), asDemo+"=1", "TMPDIR="+d.temp)
	d.cmd.Stderr = &d.stderr
	stdout, err := d.cmd.StdoutPipe()
	require.NoError(t, err)
	d.lines = bufio.NewReader(stdout)
	require.NoError(t, d.cmd.Start())
	t.Cleanup(func() {
		cancel()
		_ = d.cmd.Wait() // fails if finish waited before
	})
	return d
}

// String is what the demo printed, for failures of the test.
func (d *demoRun) String() string {
	return "stdout:\n" + d.stdout.String() + "stderr:\n" + d.stderr.String()
}

// awaitLine reads until a line contains text and returns that line.
func (d *demoRun) awaitLine(text string) string {
	d.t.Helper()
	for {
		line, err := d.lines.ReadString('\n')
		d.stdout.WriteString(line)
		if strings.Contains(line, text) {
			return line
		}
		require.NoError(d.t, err, "no line with %q in %s", text, &d.stdout)
	}
}

// finish waits for the demo's end and returns its status.
func (d *demoRun) finish() int {
	d.t.Helper()
	_, err := d.lines.WriteTo(&d.stdout)
	require.NoError(d.t, err)
	err = d.cmd.Wait()
	require.NotNil(d.t, d.cmd.ProcessState, "%v", err)
	return d.cmd.ProcessState.ExitCode()
}

// interrupt is Ctrl-C, and checks what it leads to.
func (d *demoRun) interrupt(processes int) {
	d.t.Helper()
	require.NoError(d.t, d.cmd.Process.Signal(os.Interrupt))
	require.Equal(d.t, 1, d.finish(), d)
	require.Contains(d.t, d.stderr.String(), "demo: interrupt", d)
	d.requireNothingLeft(processes)
}

var rowPattern = regexp.MustCompile(`(?m)^  (echo-\d|failed|sum) +([\d,]+)  `)

func (d *demoRun) requireTableAddsUp() {
	d.t.Helper()
	sum, rows := 0, map[string]int{}
	for _, m := range rowPattern.FindAllStringSubmatch(d.stdout.String(), -1) {
		n, err := strconv.Atoi(strings.ReplaceAll(m[2], ",", ""))
		require.NoError(d.t, err)
		rows[m[1]] = n
		if m[1] != "sum" {
			sum += n
		}
	}
	require.Len(d.t, rows, 5, d)
	require.Equal(d.t, echoCalls, sum, d)
	require.Equal(d.t, echoCalls, rows["sum"], d)
	require.LessOrEqual(d.t, rows["failed"], echoInFlight, d)
}

// requireNothingLeft checks that the demo named at least so many processes, that
// none of them runs, and that no file is left.
func (d *demoRun) requireNothingLeft(processes int) {
	d.t.Helper()
	named := pids(d.stdout.String())
	require.GreaterOrEqual(d.t, len(named), processes, d)
	for _, pid := range named {
		p, err := os.FindProcess(pid)
		if err == nil {
			err = p.Signal(syscall.Signal(0))
		}
		require.ErrorIs(d.t, err, os.ErrProcessDone, "process %d: %s", pid, d)
	}
	files, err := os.ReadDir(d.temp)
	require.NoError(d.t, err)
	require.Empty(d.t, files, d)
}

var pidPattern = regexp.MustCompile(`\(process (\d+)\)`)

func pids(text string) (all []int) {
	for _, m := range pidPattern.FindAllStringSubmatch(text, -1) {
		if pid, err := strconv.Atoi(m[1]); err == nil {
			all = append(all, pid)
		}
	}
	return all
}
