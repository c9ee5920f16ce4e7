//go:build unix

package aegis_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/selection"
)

// These tests run the test binary again, as processes that can be stopped,
// paused and killed. Such a helper gets the URL of NATS and its instance's name,
// says "running" on its standard output, and ends when its standard input does,
// so that none outlives its test.

const (
	helperURL      = "AEGIS_TEST_URL"
	helperInstance = "AEGIS_TEST_INSTANCE"
	helperQuick    = "AEGIS_TEST_QUICK" // its heartbeats are, if it is set
)

func runHelper(kind string) int {
	aegis.DetectPauses()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(3)
	}()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if kind == "nats" {
		return helperNATS(ctx)
	}
	roles := map[string]func(context.Context, *aegis.Conn) error{"server": helperServer, "caller": helperCaller, "subscriber": helperSubscriber, "worker": helperWorker, "arranger": helperArranger}
	conn, err := aegis.Connect(ctx, os.Getenv(helperURL), silent())
	if err == nil {
		err = roles[kind](ctx, conn)
	}
	if err == nil {
		err = conn.Close(context.Background())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func helperServer(ctx context.Context, conn *aegis.Conn) error {
	opts := []aegis.ServerOption{aegis.WithInstance(os.Getenv(helperInstance)), aegis.WithStateHook(func(s aegis.State) {
		if s == aegis.StateRunning {
			fmt.Println("running")
		}
	})}
	if os.Getenv(helperQuick) != "" {
		opts = append(opts, aegis.WithHeartbeat(quickBeat))
	}
	srv, err := aegis.NewServer(conn, opts...)
	if err != nil {
		return err
	}
	p := probe{do: func(ctx context.Context, req *testv1.DoRequest) (*testv1.DoResponse, error) {
		select {
		case <-time.After(req.GetWait().AsDuration()):
			return &testv1.DoResponse{Text: req.GetText(), InstanceName: instanceOf(ctx)}, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}}
	if err := aegistestv1aegis.RegisterProbeServiceServer(srv, p); err != nil {
		return err
	}
	return srv.Run(ctx)
}

// helperCaller calls and never gets an answer.
func helperCaller(_ context.Context, conn *aegis.Conn) error {
	client, err := aegistestv1aegis.NewProbeServiceClient(conn)
	if err != nil {
		return err
	}
	fmt.Println("running")
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	_, err = client.Do(ctx, doRequest("from a process"))
	return err
}

type process struct {
	*exec.Cmd
	ended chan error
}

func startProcess(t *testing.T, kind, url, instance string, env ...string) *process {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), helperEnv+"="+kind, helperURL+"="+url, helperInstance+"="+instance)
	cmd.Env = append(cmd.Env, env...)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	p := &process{cmd, make(chan error, 1)}
	said := make(chan string, 1)
	go func() {
		out := bufio.NewScanner(stdout)
		if out.Scan() {
			said <- out.Text()
		}
		for out.Scan() { // to the end, or Wait would cut it
		}
		p.ended <- cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		_ = stdin.Close()
		p.signal(t, syscall.SIGCONT)
		for range p.ended { // until it is gone
		}
	})
	require.Equal(t, "running", receive(t, "the process runs", said))
	return p
}

// signal does nothing to a process that has ended.
func (p *process) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := p.Process.Signal(s); err != nil {
		require.ErrorIs(t, err, os.ErrProcessDone)
	}
}

// load calls all the time until stop, and counts.
type load struct {
	served sync.Map // instance: *atomic.Int64
	calls  atomic.Int64
	failed atomic.Int64
}

func (l *load) run(ctx context.Context, t *testing.T, client aegistestv1aegis.ProbeServiceClient, callers int) *sync.WaitGroup {
	t.Helper()
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				req := doRequest(strconv.Itoa(i))
				req.Wait = durationOf(time.Duration(i%4) * time.Millisecond)
				res, err := client.Do(t.Context(), req)
				l.calls.Add(1)
				if err != nil || res.GetText() != req.GetText() {
					l.failed.Add(1)
					t.Errorf("%v, %v", res, err)
					return
				}
				n, _ := l.served.LoadOrStore(res.GetInstanceName(), &atomic.Int64{})
				n.(*atomic.Int64).Add(1)
			}
		})
	}
	return &all
}

func (l *load) servedBy(instance string) int64 {
	n, ok := l.served.Load(instance)
	if !ok {
		return 0
	}
	return n.(*atomic.Int64).Load()
}

// freeze stops the process, and returns when none of its threads runs any more.
func (p *process) freeze(t *testing.T) {
	t.Helper()
	p.signal(t, syscall.SIGSTOP)
	var status syscall.WaitStatus
	_, err := syscall.Wait4(p.Process.Pid, &status, syscall.WUNTRACED, nil)
	require.NoError(t, err)
	require.True(t, status.Stopped())
}

// PEERS 15: an orchestrator replaces one process after the other, and no caller
// notices.
func TestRollingRestartFailsNoCall(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	url := conn.NATS().ConnectedUrl()
	var servers []*process
	for i := range 3 {
		servers = append(servers, startProcess(t, "server", url, fmt.Sprintf("old-%d", i)))
	}
	ctx, stop := context.WithCancel(t.Context())
	var l load
	callers := l.run(ctx, t, newClient(t, conn), 32)
	for i, old := range servers {
		eventually(t, "it serves", func() bool { return l.failed.Load() > 0 || l.servedBy(fmt.Sprintf("old-%d", i)) > 100 })
		old.signal(t, syscall.SIGTERM)
		require.NoError(t, receive(t, "it ends", old.ended), "a clean drain is exit status 0")
		name := fmt.Sprintf("new-%d", i)
		startProcess(t, "server", url, name)
		eventually(t, "its successor serves", func() bool { return l.failed.Load() > 0 || l.servedBy(name) > 100 })
	}
	stop()
	callers.Wait()
	require.Zero(t, l.failed.Load())
	require.Greater(t, l.calls.Load(), int64(600))
	t.Logf("%d calls, none failed", l.calls.Load())
}

// What waited while the process was stopped is of unknown age: it may have been
// given up long ago, and served elsewhere.
func TestRequestsThatWaitedForAPausedProcessAreRefused(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	p := startProcess(t, "server", conn.NATS().ConnectedUrl(), "paused")
	client := newClient(t, conn, aegis.MaxAttempts(1))
	_, err := client.Do(t.Context(), doRequest(""))
	require.NoError(t, err)
	eventually(t, "the void probe is over", func() bool { return conn.NATS().Stats().InMsgs == 2 })

	p.freeze(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	sent := conn.NATS().Stats().OutMsgs
	var waiting []<-chan result[*testv1.DoResponse]
	for range 10 {
		waiting = append(waiting, async(func() (*testv1.DoResponse, error) { return client.Do(ctx, doRequest("")) }))
	}
	idempotent := async(func() (*testv1.GetResponse, error) { return client.Get(ctx, getRequest("")) })
	eventually(t, "the requests are out", func() bool { return conn.NATS().Stats().OutMsgs == sent+11 })
	<-time.After(time.Second) // how long it is paused
	p.signal(t, syscall.SIGCONT)
	for _, call := range waiting {
		err := receive(t, "a refusal", call).err
		require.Equal(t, aegis.ReasonStale, asError(t, err).Reason())
	}
	require.NoError(t, receive(t, "the idempotent one", idempotent).err)
	eventually(t, "it serves again", func() bool {
		_, err := client.Do(ctx, doRequest(""))
		return err == nil
	})
}

func TestHandlersLearnThatTheirCallersProcessWasKilled(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	started, ended := make(chan struct{}), make(chan error, 1)
	serve(t, conn, probe{do: func(ctx context.Context, _ *testv1.DoRequest) (*testv1.DoResponse, error) {
		close(started)
		<-ctx.Done()
		ended <- ctx.Err()
		return nil, ctx.Err()
	}})
	caller := startProcess(t, "caller", conn.NATS().ConnectedUrl(), "")
	receive(t, "the handler runs", started)
	caller.signal(t, syscall.SIGKILL)
	require.Error(t, receive(t, "the caller is dead", caller.ended))
	require.ErrorIs(t, receive(t, "the handler learns it", ended), context.Canceled)
}

// strategies are those that pick an instance.
func strategies() map[string]aegis.CallOption {
	return map[string]aegis.CallOption{
		"round robin": aegis.RoundRobin(), "random": aegis.Random(), "least loaded": aegis.LeastLoaded(), "sticky": aegis.StickyKey("k"),
		"own": aegis.SelectBy(selection.StrategyFunc(func(*selection.View, selection.Call) int { return 0 })),
	}
}

func TestRollingRestartFailsNoCallByStrategy(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	url := conn.NATS().ConnectedUrl()
	var servers []*process
	for i := range 3 {
		servers = append(servers, startProcess(t, "server", url, fmt.Sprintf("old-%d", i)))
	}
	ctx, stop := context.WithCancel(t.Context())
	loads := map[string]*load{}
	var callers []*sync.WaitGroup
	for name, strategy := range strategies() {
		loads[name] = new(load)
		callers = append(callers, loads[name].run(ctx, t, newClient(t, another(t, conn), strategy), 8))
	}
	// Sticky and own keep to one instance while that is there.
	spread := func(instance string) bool {
		for _, name := range []string{"round robin", "random", "least loaded"} {
			if loads[name].servedBy(instance) < 20 {
				return false
			}
		}
		return true
	}
	for i, old := range servers {
		eventually(t, "it serves", func() bool { return t.Failed() || spread(fmt.Sprintf("old-%d", i)) })
		old.signal(t, syscall.SIGTERM)
		require.NoError(t, receive(t, "it ends", old.ended))
		name := fmt.Sprintf("new-%d", i)
		startProcess(t, "server", url, name)
		eventually(t, "its successor serves", func() bool { return t.Failed() || spread(name) })
	}
	stop()
	for _, all := range callers {
		all.Wait()
	}
	for name, l := range loads {
		require.Zero(t, l.failed.Load(), name)
		t.Logf("%s: %d calls, none failed", name, l.calls.Load())
	}
}

// Of all the requests that are sent after the death of an instance, one goes to
// it: the first that NATS answers with "no responders".
func TestAKilledInstanceGetsNothingAfterItsFirstNoResponders(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	url := conn.NATS().ConnectedUrl()
	startProcess(t, "server", url, "a")
	startProcess(t, "server", url, "b")
	doomed := startProcess(t, "server", url, "doomed")
	caller := another(t, conn)
	shows(t, caller, probeName, "a RUNNING", "b RUNNING", "doomed RUNNING")
	client := newClient(t, caller, aegis.RoundRobin())
	c := callMany(t, 1, 9, doBy(client))
	require.Equal(t, map[string]int{"a": 3, "b": 3, "doomed": 3}, c.counts)
	eventually(t, "the void probes are over", caller.ProbedVoid)

	doomed.signal(t, syscall.SIGKILL)
	require.Error(t, receive(t, "it is dead", doomed.ended))
	eventually(t, "NATS knows it", func() bool {
		_, err := newClient(t, conn, aegis.MaxAttempts(1)).Do(t.Context(), doRequest(""), aegis.ToInstance("doomed"))
		return errors.Is(err, aegis.ErrNoResponders)
	})
	sent := caller.NATS().Stats().OutMsgs
	const calls = 200
	c = callMany(t, 1, calls, doBy(client))
	require.Len(t, c.counts, 2)
	require.LessOrEqual(t, c.most()-c.least(), 2, "the call that was moved came out of turn: %v", c.counts)
	require.Equal(t, sent+calls+1, caller.NATS().Stats().OutMsgs)
}

func TestACallInAKilledProcessEndsWhenItIsFoundToBeDead(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	doomed := startProcess(t, "server", conn.NATS().ConnectedUrl(), "doomed", helperQuick+"=1")
	caller := another(t, conn)
	client := newClient(t, caller, aegis.LeastLoaded())
	shows(t, caller, probeName, "doomed RUNNING")
	req := doRequest("")
	req.Wait = durationOf(time.Hour)
	call := async(func() (*testv1.DoResponse, error) { return client.Do(deadlineIn(t, time.Hour), req) })
	eventually(t, "it runs", func() bool { return caller.Busy(probeName, "doomed") })
	doomed.signal(t, syscall.SIGKILL)
	require.Error(t, receive(t, "it is dead", doomed.ended))
	requireLost(t, []*aegis.Error{asError(t, receive(t, "the call ends", call).err)})
	shows(t, caller, probeName)
}
