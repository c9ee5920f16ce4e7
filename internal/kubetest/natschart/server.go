package natschart

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/aegisrpc/aegis/internal/procs"
)

// What the chart says of the pods.
const (
	startupPath     = "/healthz"
	readinessPath   = "/healthz?js-server-only=true"
	probeTimeout    = 5 * time.Second
	failures        = 3
	terminationTime = 60 * time.Second
)

// look is how often it is looked whether a server has become ready.
const look = 20 * time.Millisecond

// Probes says how often the kubelet asks, and how long after the start it begins.
type Probes struct{ Delay, Period time.Duration }

// ChartProbes are those of the chart.
var ChartProbes = Probes{Delay: 10 * time.Second, Period: 10 * time.Second}

// Server is one of the chart's pods.
type Server struct {
	Name    string
	address string // for clients
	monitor string // its URL
	program string
	dir     string
	log     string
	env     []string
	probes  Probes

	mu       sync.Mutex
	process  *procs.Process
	ready    bool
	deleting bool
	watching sync.WaitGroup
}

func (s *Server) pidFile() string { return filepath.Join(s.dir, "nats.pid") }

func (s *Server) start() error {
	log, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()                                                             //nolint:errcheck // the child has its own
	cmd := exec.Command(s.program, "--config", filepath.Join(s.dir, "nats.conf")) //nolint:gosec,noctx // it is ended by a signal
	cmd.Env, cmd.Stderr = s.env, log
	process, err := procs.Start(s.Name, cmd, func(out io.Reader) { _, _ = io.Copy(io.Discard, out) }) // it has none
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.process, s.deleting = process, false
	s.watching.Go(func() { s.watch(process) })
	return nil
}

// watch probes as the kubelet does: for readiness only once the server has started.
func (s *Server) watch(process *procs.Process) {
	defer s.setReady(false)
	client := newProber()
	wait := time.NewTimer(s.probes.Delay)
	defer wait.Stop()
	for started, failed := false, 0; ; wait.Reset(s.probes.Period) {
		select {
		case <-process.Ended():
			return
		case <-wait.C:
		}
		if s.ends() {
			continue // it does not become ready any more
		}
		started = started || healthy(client, s.monitor+startupPath)
		switch {
		case !started:
		case healthy(client, s.monitor+readinessPath):
			failed = 0
			s.setReady(true)
		default:
			failed++
			s.setReady(failed < failures && s.isReady())
		}
	}
}

func newProber() *http.Client {
	return &http.Client{Timeout: probeTimeout, Transport: &http.Transport{DisableKeepAlives: true}}
}

func healthy(client *http.Client, url string) bool {
	resp, err := client.Get(url) //nolint:noctx // the client has a timeout
	if err != nil {
		return false
	}
	defer resp.Body.Close() //nolint:errcheck // nothing is read
	return resp.StatusCode == http.StatusOK
}

func (s *Server) setReady(ready bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ready = ready
}

func (s *Server) ends() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.deleting
}

// isReady reports whether the Service may send connections to the server.
func (s *Server) isReady() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ready && !s.deleting
}

// AwaitReady waits until the probes say that the server is ready.
func (s *Server) AwaitReady(ctx context.Context) error {
	ticker := time.NewTicker(look)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready, see %s: %w", s.Name, s.log, ctx.Err())
		case <-s.running().Ended():
			log, _ := os.ReadFile(s.log)
			return fmt.Errorf("%s has ended: %s", s.Name, log)
		case <-ticker.C:
			if s.isReady() {
				return nil
			}
		}
	}
}

func (s *Server) running() *procs.Process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.process
}

// delete has the server end as the kubelet has a pod that is deleted, and returns when it has
// ended: preStop, SIGTERM, and SIGKILL when the time is over. It reports whether that was needed.
func (s *Server) delete(ctx context.Context) (killed bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, terminationTime)
	defer cancel()
	s.mu.Lock()
	s.deleting = true
	process := s.process
	s.mu.Unlock()
	preStop := exec.CommandContext(ctx, s.program, "-sl=ldm="+s.pidFile()) //nolint:gosec // the program is ours
	if out, err := preStop.CombinedOutput(); err != nil {
		return false, fmt.Errorf("preStop of %s: %w: %s", s.Name, err, out)
	}
	if err := process.Signal(syscall.SIGTERM); err != nil {
		return false, err
	}
	select {
	case <-process.Ended():
		return false, nil
	case <-ctx.Done():
		process.Kill()
		return true, nil
	}
}

// Restart starts a server that has ended.
func (s *Server) Restart() error { return s.start() }

// stop ends the server and what watches it.
func (s *Server) stop() {
	if p := s.running(); p != nil {
		p.Kill()
	}
	s.watching.Wait()
}
