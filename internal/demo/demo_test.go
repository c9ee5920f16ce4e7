package demo

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/devstate"
	"github.com/aegisrpc/aegis/internal/monitorapi"
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
	err := Run(t.Context(), []string{"fast"}, os.Stdout)
	require.EqualError(t, err, `unknown argument "fast"; the demo takes none`)
	err = Run(t.Context(), []string{"--faults=false"}, os.Stdout)
	require.ErrorIs(t, err, ErrNotForever)
	require.EqualError(t, err, "--faults=false is for --forever: the parts of the demo are about their faults")
	err = Run(t.Context(), []string{"--monitor"}, os.Stdout)
	require.ErrorIs(t, err, ErrNotForever)
	require.ErrorContains(t, err, "--monitor is for --forever")
}

func TestDemoGoesOnUntilItIsInterrupted(t *testing.T) {
	t.Parallel()
	d := startDemo(t, "--forever")
	d.awaitLine("it goes on until Ctrl-C")
	place := devstate.Place{Dir: filepath.Join(d.cache, "aegis", "demo")}
	state, err := place.Read()
	require.NoError(t, err)
	require.True(t, state.Faults)
	require.Equal(t, d.cmd.Process.Pid, state.PID)
	var names []string
	for _, s := range state.Servers {
		names = append(names, s.Name)
	}
	require.Equal(t, []string{"echo-1", "echo-2", "echo-3", "monitor-1", "order-1", "order-2", "order-3", "risk-1", "risk-2"}, names)

	echo, err := os.FindProcess(state.Servers[0].PID)
	require.NoError(t, err)
	require.NoError(t, echo.Kill())
	d.awaitLine("echo-1 has ended (signal: killed), and is started again")
	d.awaitLine("leads, and is killed (SIGKILL)")
	d.awaitLine("leads in term")
	last, err := place.Read()
	require.NoError(t, err)
	require.NoError(t, d.cmd.Process.Signal(os.Interrupt))
	require.Equal(t, 0, d.finish(), d)
	require.Empty(t, d.stderr.String(), d)
	require.Regexp(t, `stopping; in all [\d,]+ calls, \d+ failed; [1-9][\d,]* orders, .* [1-9]\d* commands done, 0 failed`, d.stdout.String())
	for _, s := range append(state.Servers, last.Servers...) {
		requireEnded(t, s.PID)
	}
	d.requireNothingLeft(0)
	require.NoDirExists(t, place.Dir)
}

func TestDemoIsFoundOnlyOnce(t *testing.T) {
	t.Parallel()
	first := startDemo(t, "--forever", "--faults=false")
	first.awaitLine("aegis chaos kill --demo")
	second := startDemoWith(t, first.cache, "--forever")
	second.awaitLine(fmt.Sprintf("will not find this demo: another aegis demo --forever runs here (process %d)", first.cmd.Process.Pid))
	require.NoError(t, second.cmd.Process.Signal(os.Interrupt)) // before it has begun
	require.Equal(t, 0, second.finish(), second)
	require.NoError(t, first.cmd.Process.Signal(os.Interrupt))
	require.Equal(t, 0, first.finish(), first)
	require.NotContains(t, first.stdout.String(), "SIG")
}

func TestDemoShowsItselfByAMonitor(t *testing.T) {
	t.Parallel()
	d := startDemo(t, "--forever", "--faults=false", "--monitor")
	_, url, found := strings.Cut(strings.TrimSpace(d.awaitLine("the monitor is at ")), "the monitor is at ")
	require.True(t, found)
	d.awaitLine("it goes on until Ctrl-C")
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	require.Eventually(t, func() bool {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"api/v1/overview", http.NoBody)
		require.NoError(t, err)
		res, err := client.Do(req)
		require.NoError(t, err)
		defer res.Body.Close()
		require.Equal(t, http.StatusOK, res.StatusCode)
		var o monitorapi.Overview
		require.NoError(t, json.NewDecoder(res.Body).Decode(&o))
		return len(o.Services) == 2 && o.Totals.Leaders == 1 && o.May == monitorapi.May{Act: true, Call: true, ShowPayloads: true}
	}, 30*time.Second, 100*time.Millisecond, "it shows both services and the leader")
	require.NoError(t, d.cmd.Process.Signal(os.Interrupt))
	require.Equal(t, 0, d.finish(), d)
	require.Empty(t, d.stderr.String(), d)
	d.requireNothingLeft(0)
}

// demoRun is a running demo.
type demoRun struct {
	t      *testing.T
	cmd    *exec.Cmd
	lines  *bufio.Reader
	stdout strings.Builder
	stderr bytes.Buffer
	temp   string
	cache  string // that of the user
}

// startDemo starts the demo with folders for temporary files and for the user's cache of its
// own.
func startDemo(t *testing.T, args ...string) *demoRun {
	t.Helper()
	return startDemoWith(t, t.TempDir(), args...)
}

func startDemoWith(t *testing.T, cache string, args ...string) *demoRun {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), runLimit)
	path, err := os.Executable()
	require.NoError(t, err)
	d := &demoRun{t: t, cmd: exec.CommandContext(ctx, path, args...), temp: t.TempDir(), cache: cache}
	d.cmd.Env = append(os.Environ(), asDemo+"=1", "TMPDIR="+d.temp, "XDG_CACHE_HOME="+d.cache)
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
		requireEnded(d.t, pid)
	}
	files, err := os.ReadDir(d.temp)
	require.NoError(d.t, err)
	require.Empty(d.t, files, d)
}

func requireEnded(t *testing.T, pid int) {
	t.Helper()
	p, err := os.FindProcess(pid)
	if err == nil {
		err = p.Signal(syscall.Signal(0))
	}
	require.ErrorIs(t, err, os.ErrProcessDone, "process %d", pid)
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
