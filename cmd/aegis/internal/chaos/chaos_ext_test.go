//go:build unix

package chaos_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/clitest"
	"github.com/aegisrpc/aegis/internal/devstate"
	"github.com/aegisrpc/aegis/internal/procs"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

func TestLeaderIsKilled(t *testing.T) {
	t.Parallel()
	nats := aegistest.StartNATS(t)
	all := serve(t, nats, "order", 3)
	r, _ := play(t, nats, 0, "kill", placeOrder, anOrder, "--pid", pids(all), "--faults", "2", "--every", "50ms",
		"--max-failover", "1m", "--max-failed", "100000")
	require.Equal(t, "order.v1.OrderService.PlaceOrder", r.Method)
	require.Len(t, r.Faults, 2)
	for _, f := range r.Faults {
		require.True(t, f.Recovered, f.Problem)
		require.True(t, f.Leader)
		require.Equal(t, fmt.Sprint("order-", f.PID), f.Instance, "the server has its id in its name")
		require.NotNil(t, f.Failover)
		require.Positive(t, *f.Failover)
		require.Positive(t, f.Calls)
		status, ok := of(t, all, f.PID).State().Sys().(syscall.WaitStatus)
		require.True(t, ok)
		require.Equal(t, syscall.SIGKILL, status.Signal())
	}
	require.NotEqual(t, r.Faults[0].PID, r.Faults[1].PID)
	require.Equal(t, 2, r.Failover.Count)
	require.InDelta(t, (*r.Faults[0].Failover+*r.Faults[1].Failover)/2, r.Failover.Median, 1e-6)
	require.InDelta(t, max(*r.Faults[0].Failover, *r.Faults[1].Failover), r.Failover.Worst, 1e-6)
	require.Positive(t, r.Totals.Calls)
	require.Len(t, r.Limits, 2)
}

func TestServersArePaused(t *testing.T) {
	t.Parallel()
	nats := aegistest.StartNATS(t)
	all := serve(t, nats, "echo", 2)
	r, _ := play(t, nats, 0, "pause", echoMethod, aText, "--pid", pids(all), "--pause", "500ms", "--every", "0s", "--faults", "2")
	require.Len(t, r.Faults, 2)
	for _, f := range r.Faults {
		require.True(t, f.Recovered, f.Problem)
		require.False(t, f.Leader)
		require.Equal(t, fmt.Sprint("echo-", f.PID), f.Instance)
		require.Greater(t, f.Slowest+float64(f.Failed)*1000, 300., "a call reached the paused process")
	}
	for _, p := range all {
		require.True(t, p.Alive())
		require.False(t, stopped(t, p.Pid()))
	}
}

func TestGracefulStopLosesNoCall(t *testing.T) {
	t.Parallel()
	nats := aegistest.StartNATS(t)
	all := serve(t, nats, "echo", 2)
	r, _ := play(t, nats, 0, "stop", echoMethod, aText, "--pid", pids(all), "--max-failed", "0", "--every", "50ms")
	require.Len(t, r.Faults, 1)
	require.Zero(t, r.Totals.Failed)
	p := of(t, all, r.Faults[0].PID)
	require.Zero(t, p.State().ExitCode(), "SIGTERM ends the server well")
}

func TestCommandsOutliveTheirServer(t *testing.T) {
	t.Parallel()
	nats := aegistest.StartNATS(t)
	all := serve(t, nats, "order", 2)
	clitest.Run(t, env(nats), "call", placeOrder, strings.ReplaceAll(anOrder, "{{.UUID}}", "first")) // there is a leader now
	r, _ := play(t, nats, 0, "kill", "order.v1.OrderService/ReconcileBook", "--pid", pids(all), "--rate", "20", "--every", "0s", "--max-failed", "0")
	require.Len(t, r.Faults, 1)
	require.False(t, r.Faults[0].Leader)
	require.Greater(t, r.Totals.Calls, int64(20))
}

func TestExceededLimitsFail(t *testing.T) {
	t.Parallel()
	nats := aegistest.StartNATS(t)
	all := serve(t, nats, "order", 2)
	r, told := play(t, nats, 1, "kill", placeOrder, anOrder, "--pid", pids(all), "--max-failover", "1ns", "--every", "0s")
	require.True(t, r.Faults[0].Recovered)
	require.Len(t, r.Limits, 1)
	require.False(t, r.Limits[0].Held)
	require.Contains(t, told, "above --max-failover 1ns")
}

func TestNobodyIsLeft(t *testing.T) {
	t.Parallel()
	nats := aegistest.StartNATS(t)
	all := serve(t, nats, "echo", 1)
	got := clitest.Run(t, env(nats), "chaos", "kill", echoMethod, aText, "--pid", pids(all), "--wait", "2s", "--timeout", "500ms", "--every", "0s", "-y", "--max-failed", "0")
	require.Equal(t, 1, got.Code, got.Err)
	require.Contains(t, got.Out, "NOT RECOVERED")
	require.Contains(t, got.Out, "UNAVAILABLE")
	require.Regexp(t, `--max-failed +EXCEEDED`, got.Out)
	require.Less(t, figure(t, got.Out, "outcome unknown"), figure(t, got.Out, "calls that failed"), "nobody listened to most")
	require.Contains(t, got.Err, "no recovery from fault 1 within 2s")
	require.Contains(t, got.Err, "calls have failed, more than --max-failed 0")
}

func TestPausedProcessGoesOnWhenTheCommandEnds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		signal syscall.Signal
		code   int
	}{"Ctrl-C": {syscall.SIGINT, 130}, "killed": {syscall.SIGKILL, -1}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			nats := aegistest.StartNATS(t)
			all := serve(t, nats, "echo", 1)
			pid := all[0].Pid()
			p := clitest.Start(t, env(nats), "chaos", "pause", echoMethod, aText, "--pid", pids(all), "--pause", "1h", "--every", "0s", "-y")
			awaitPause(t, pid)
			p.Signal(t, c.signal)
			got := p.Wait(t)
			require.Equal(t, c.code, got.Code, got.Err)
			require.Eventually(t, func() bool { return !stopped(t, pid) }, patience, 20*time.Millisecond)
			require.True(t, all[0].Alive())
			if c.code >= 0 {
				require.Contains(t, got.Out, "fault 1: paused echo")
				require.Regexp(t, `faults +1 of 3, interrupted`, got.Out)
			}
		})
	}
}

func TestWrongUse(t *testing.T) {
	t.Parallel()
	nats := aegistest.StartNATS(t)
	echoes := serve(t, nats, "echo", 2)
	orders := serve(t, nats, "order", 1)
	outsider, err := procs.Start("sleep", outsiderCommand(), nil)
	require.NoError(t, err)
	t.Cleanup(outsider.Kill)
	ended, err := procs.Start("ended", outsiderCommand(), nil)
	require.NoError(t, err)
	ended.Kill()

	echo, order, outside := pids(echoes), pids(orders), strconv.Itoa(outsider.Pid())
	for _, c := range []struct {
		name string
		args string
		code int
		says string
	}{
		{"no such process", "kill echo.v1.EchoService/Echo --pid " + strconv.Itoa(ended.Pid()), 1, "there is no such process"},
		{"init", "kill echo.v1.EchoService/Echo --pid 1", 1, "process 1 is no server"},
		{"a parent", "kill echo.v1.EchoService/Echo --pid " + strconv.Itoa(os.Getpid()), 1, "one of its parents"},
		{"no server", "kill echo.v1.EchoService/Echo --pid " + outside, 1, "does not serve echo.v1.EchoService"},
		{"another service", "kill echo.v1.EchoService/Echo --pid " + order, 1, "does not serve echo.v1.EchoService"},
		{"no dev", "kill echo.v1.EchoService/Echo", 1, "no aegis dev is to be found"},
		{"restart", "restart echo.v1.EchoService/Echo --pid " + echo, 2, "unknown flag: --pid"},
		{"method", "kill echo.v1.EchoService/Ecco --pid " + echo, 1, "did you mean Echo?"},
		{"pattern", "kill order.v1.OrderService/ReloadLimits --pid " + order, 2, "load balanced or single active"},
		{"stream", "kill order.v1.OrderService/WatchOrders --pid " + order, 2, "one request and one response"},
		{"leader", "kill echo.v1.EchoService/Echo --target leader --pid " + echo, 2, "has no leader"},
		{"target", "kill echo.v1.EchoService/Echo --target all --pid " + echo, 2, "use leader or random"},
		{"faults", "kill echo.v1.EchoService/Echo --faults 3 --pid " + echo, 2, "there are 2 processes"},
		{"no fault", "pause echo.v1.EchoService/Echo --faults 0 --pid " + echo, 2, "--faults 0"},
		{"pause", "pause echo.v1.EchoService/Echo --pause 0s --pid " + echo, 2, "--pause 0s"},
		{"rate", "pause echo.v1.EchoService/Echo --rate 0.5 --pid " + echo, 2, "--rate 0.5"},
		{"wait", "pause echo.v1.EchoService/Echo --wait 0s --pid " + echo, 2, "--wait 0s"},
		{"failover", "pause echo.v1.EchoService/Echo --max-failover 0s --pid " + echo, 2, "--max-failover 0s"},
		{"failed", "pause echo.v1.EchoService/Echo --max-failed -1 --pid " + echo, 2, "--max-failed -1"},
		{"the method fails", "kill echo.v1.EchoService/Echo --pid " + echo, 1, "fail before there is any fault: INVALID_ARGUMENT"},
	} {
		got := clitest.Run(t, env(nats), append(append([]string{"chaos"}, strings.Fields(c.args)...), "-y")...)
		require.Equal(t, c.code, got.Code, "%s: %s", c.name, got.Err)
		require.Contains(t, got.Err, c.says, c.name)
		require.Empty(t, got.Out, c.name)
	}
	got := clitest.Run(t, env(nats), "chaos", "kil")
	require.Equal(t, 2, got.Code)
	require.Contains(t, got.Err, "did you mean kill?")
	got = clitest.Run(t, env(nats), "chaos", "kill", echoMethod, aText, "--pid", echo)
	require.Equal(t, 2, got.Code)
	require.Contains(t, got.Err, "add --yes")
	got = clitest.Run(t, env(nats), "chaos", "kill", echoMethod, aText, "--pid", echo, "--dry-run")
	require.Zero(t, got.Code, got.Err)
	require.Contains(t, got.Err, fmt.Sprintf("Would do: Kill one of echo (process %d), echo (process %d), once", min(echoes[0].Pid(), echoes[1].Pid()), max(echoes[0].Pid(), echoes[1].Pid())))
	for _, p := range append(echoes, orders[0], outsider) {
		require.True(t, p.Alive(), p.Name)
		require.False(t, stopped(t, p.Pid()), p.Name)
	}
}

func TestProcessOfAnotherUserIsRefused(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root can start a process of another user")
	}
	cmd := outsiderCommand()
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // the test fails if it has ended
		_ = cmd.Wait()         // it was killed
	})
	got := clitest.Run(t, nil, "chaos", "kill", echoMethod, "-y", "--pid", strconv.Itoa(cmd.Process.Pid))
	require.Equal(t, 1, got.Code)
	require.Contains(t, got.Err, "is of another user, with the id 65534")
	require.NoError(t, cmd.Process.Signal(syscall.Signal(0)))
}

func TestReportIsPrintedWhenTheNextFaultIsImpossible(t *testing.T) {
	t.Parallel()
	nats := aegistest.StartNATS(t)
	first := serve(t, nats, "order", 1)
	clitest.Run(t, env(nats), "call", placeOrder, strings.ReplaceAll(anOrder, "{{.UUID}}", "first")) // it leads now
	serve(t, nats, "order", 1)
	// The pause is much longer than a lease, so that another one leads then even if the
	// machine is busy; that one may not be harmed.
	got := clitest.Run(t, env(nats), "chaos", "pause", placeOrder, anOrder, "-y", "--every", "0s", "--rate", "20", "--pause", "8s", "--pid", pids(first), "--faults", "2")
	require.Equal(t, 1, got.Code)
	require.Contains(t, got.Out, "fault 1: paused order")
	require.Regexp(t, `faults +1 of 2`, got.Out)
	require.Contains(t, got.Err, "--target random")
}

func TestOnlyTheFollowerMayBeHarmed(t *testing.T) {
	t.Parallel()
	nats := aegistest.StartNATS(t)
	leader := serve(t, nats, "order", 1)
	clitest.Run(t, env(nats), "call", placeOrder, strings.ReplaceAll(anOrder, "{{.UUID}}", "first")) // it leads now
	follower := serve(t, nats, "order", 1)
	got := clitest.Run(t, env(nats), "chaos", "pause", placeOrder, anOrder, "--pid", pids(follower), "-y", "--every", "0s", "--rate", "20")
	require.Equal(t, 1, got.Code)
	require.Contains(t, got.Err, fmt.Sprintf("the leader is the instance order-%d", leader[0].Pid()))
	require.Contains(t, got.Err, "--target random")
	r, _ := play(t, nats, 0, "pause", placeOrder, anOrder, "--pid", pids(follower), "--target", "random", "--pause", "50ms", "--every", "0s", "--faults", "1")
	require.Len(t, r.Faults, 1)
	require.False(t, r.Faults[0].Leader)
}

func TestServersOfTheDemoComeBack(t *testing.T) {
	t.Parallel()
	env := []string{"XDG_CACHE_HOME=" + t.TempDir()}
	got := clitest.Run(t, env, "chaos", "kill", echoMethod, "--demo", "-y")
	require.Equal(t, 1, got.Code)
	require.Contains(t, got.Err, "run `aegis demo --forever --faults=false`")

	demo := clitest.Start(t, env, "demo", "--forever", "--faults=false")
	demo.Out().Await(t, "aegis chaos kill --demo")
	got = clitest.Run(t, env, "chaos", "kill", placeOrder, anOrder, "--demo", "-y", "--faults", "2", "--every", "0s", "--rate", "10", "-o", "json") // the demo has a load of its own
	killed := parse(t, got, 0).Faults
	require.Len(t, killed, 2)
	for _, f := range killed {
		require.True(t, f.Recovered, f.Problem)
		require.True(t, f.Leader)
		demo.Out().Await(t, f.Instance+" has ended (signal: killed), and is started again")
	}
	got = clitest.Run(t, env, "chaos", "restart", echoMethod, aText, "--demo", "-y", "--faults", "2", "--rate", "10", "-o", "json")
	require.Len(t, parse(t, got, 0).Faults, 2)
	got = clitest.Run(t, env, "chaos", "kill", echoMethod, "--demo", "-y", "--server", "nats://127.0.0.1:1")
	require.Equal(t, 2, got.Code, got.Err)
	got = clitest.Run(t, env, "chaos", "kill", echoMethod, "--demo", "-y", "--pid", "1")
	require.Equal(t, 2, got.Code, got.Err)
	demo.Interrupt(t)
	require.Equal(t, 130, demo.Wait(t).Code)

	demo = clitest.Start(t, env, "demo", "--forever")
	demo.Out().Await(t, "of the echo service")
	got = clitest.Run(t, env, "chaos", "kill", echoMethod, "--demo", "-y")
	require.Equal(t, 1, got.Code)
	require.Contains(t, got.Err, "the demo kills and pauses servers by itself")
}

func TestServersOfDevComeBack(t *testing.T) {
	t.Parallel()
	dir := project(t)
	place := devstate.Project(dir)
	dev := clitest.StartIn(t, dir, nil, "dev", "--instances", "2")
	dev.Out().Await(t, "is served")
	var before *devstate.State
	require.Eventually(t, func() bool {
		var err error
		before, err = place.Read()
		return err == nil && len(before.Servers) == 2
	}, patience, 20*time.Millisecond)
	require.Equal(t, dev.Pid(), before.PID)

	got := clitest.RunIn(t, dir, nil, "chaos", "stop", echoMethod, aText, "-y", "--faults", "1", "--every", "0s", "--max-failed", "0", "-o", "json")
	parse(t, got, 0)
	dev.Out().Await(t, "has ended by itself")
	got = clitest.RunIn(t, dir, nil, "chaos", "restart", echoMethod, aText, "-y", "--faults", "3", "-o", "json")
	require.Len(t, parse(t, got, 0).Faults, 3)
	after, err := place.Read()
	require.NoError(t, err)
	require.Len(t, after.Servers, 2)
	require.NotEqual(t, before.Servers, after.Servers)
	got = clitest.RunIn(t, dir, nil, "chaos", "kill", echoMethod, "-y", "--server", "nats://127.0.0.1:1")
	require.Equal(t, 2, got.Code, got.Err)

	dev.Signal(t, syscall.SIGKILL) // it can take nothing away
	dev.Wait(t)
	got = clitest.RunIn(t, dir, nil, "chaos", "kill", echoMethod, "-y")
	require.Equal(t, 1, got.Code)
	require.Contains(t, got.Err, fmt.Sprintf("process %d, aegis dev, has left", dev.Pid()))
	text, err := json.Marshal(map[string]int{"version": 99})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(place.Dir, "dev.json"), text, 0o600))
	got = clitest.RunIn(t, dir, nil, "chaos", "kill", echoMethod, "-y")
	require.Equal(t, 1, got.Code)
	require.Contains(t, got.Err, "is of version 99")
}
