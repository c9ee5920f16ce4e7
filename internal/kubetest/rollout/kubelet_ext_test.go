package rollout_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/kubetest/container"
	"github.com/aegisrpc/aegis/internal/kubetest/natschart"
	"github.com/aegisrpc/aegis/internal/procs"
)

// kubelet runs pods as processes on the loopback interface, with the signals and the times of
// the manifest.
type kubelet struct {
	*manifest
	t       *testing.T
	program string
	nats    *natschart.Cluster
	dir     string
	// noDrain has SIGKILL sent in place of SIGTERM, to see that the test notices.
	noDrain bool
	mu      sync.Mutex
	leading []string     // each change of the leader
	killed  atomic.Int32 // pods that did not end within their grace period
	failed  atomic.Int32 // pods that ended without being told to, or with an error
}

// pod is one process. Its readiness is what its probe last said.
type pod struct {
	name     string
	node     string
	address  string
	process  *procs.Process
	ready    atomic.Int64 // since when, in ns of Unix time; 0: it is not
	deleting atomic.Bool
	gone     chan struct{}
}

func newKubelet(t *testing.T, m *manifest, nats *natschart.Cluster) *kubelet {
	t.Helper()
	k := &kubelet{manifest: m, t: t, nats: nats, dir: t.TempDir(), noDrain: os.Getenv("ROLLOUT_NO_DRAIN") != ""}
	k.program = filepath.Join(k.dir, "server")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", k.program, "github.com/aegisrpc/aegis/examples/order/server").CombinedOutput()
	require.NoError(t, err, string(out))
	return k
}

// start starts a pod on a node. Each node is in a zone of its own.
func (k *kubelet) start(name, node string) *pod {
	of := container.Pod{
		Template: k.deployment.Spec.Template, Name: name, Node: node, Zone: "zone-of-" + node,
		Objects: k.objects, Secrets: k.nats.Secrets,
	}
	command, err := of.Command(k.program, filepath.Join(k.dir, name))
	require.NoError(k.t, err)
	command.Env = append(command.Env, "NATS_URL=nats://"+k.nats.Address())
	log, err := os.Create(filepath.Join(k.t.ArtifactDir(), name+".log"))
	require.NoError(k.t, err)
	defer log.Close() //nolint:errcheck // the child has its own
	command.Stderr = log
	p := &pod{name: name, node: node, address: command.Addresses["http"], gone: make(chan struct{})}
	p.process, err = procs.Start(name, command.Cmd, k.follow)
	require.NoError(k.t, err)
	go k.probe(p)
	return p
}

// follow keeps when pods say that they begin to lead, or end.
func (k *kubelet) follow(r io.Reader) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		if text := lines.Text(); strings.Contains(text, " lead") {
			k.mu.Lock()
			k.leading = append(k.leading, time.Now().Format("05.000 ")+text)
			k.mu.Unlock()
		}
	}
}

// probe asks for the readiness of a pod as its manifest says, until it ends.
func (k *kubelet) probe(p *pod) {
	probe := k.container().ReadinessProbe
	client := &http.Client{Timeout: seconds(probe.TimeoutSeconds), Transport: &http.Transport{DisableKeepAlives: true}}
	ticker := time.NewTicker(seconds(probe.PeriodSeconds))
	defer ticker.Stop()
	for failures := int32(0); ; {
		select {
		case <-p.process.Ended():
			k.ended(p)
			return
		case <-ticker.C:
		}
		switch {
		case answers(client, "http://"+p.address+probe.HTTPGet.Path):
			failures = 0
			p.ready.CompareAndSwap(0, time.Now().UnixNano())
		case failures+1 >= probe.FailureThreshold:
			p.ready.Store(0)
		default:
			failures++
		}
	}
}

func (k *kubelet) ended(p *pod) {
	p.ready.Store(0)
	if err := p.process.Err(); err != nil || !p.deleting.Load() {
		k.failed.Add(1)
	}
	close(p.gone)
}

func answers(client *http.Client, url string) bool {
	resp, err := client.Get(url) //nolint:noctx // the client has a timeout
	if err != nil {
		return false
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	return resp.StatusCode >= 200 && resp.StatusCode < 400
}

// delete does what the kubelet does with a pod that is deleted: preStop, SIGTERM, and SIGKILL when
// the grace period, which has begun with preStop, is over.
func (k *kubelet) delete(p *pod) {
	if p.deleting.Swap(true) {
		return
	}
	go func() {
		grace := time.NewTimer(seconds(int32(*k.pod().TerminationGracePeriodSeconds)))
		defer grace.Stop()
		time.Sleep(time.Duration(k.container().Lifecycle.PreStop.Sleep.Seconds) * time.Second) // what the manifest says
		if k.noDrain {
			p.process.Kill()
			return
		}
		if err := p.process.Signal(syscall.SIGTERM); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		select {
		case <-p.process.Ended():
		case <-grace.C:
			k.killed.Add(1)
			p.process.Kill()
		}
	}()
}

// available reports whether a pod counts as such: ready for minReadySeconds, and not being deleted.
func (k *kubelet) available(p *pod) bool {
	since := p.ready.Load()
	return since != 0 && !p.deleting.Load() &&
		time.Since(time.Unix(0, since)) >= seconds(k.deployment.Spec.MinReadySeconds)
}

func (k *kubelet) awaitGone(ctx context.Context, pods []*pod) {
	for _, p := range pods {
		select {
		case <-p.gone:
		case <-ctx.Done():
			require.FailNow(k.t, p.name+" does not end")
		}
	}
}

func seconds(n int32) time.Duration { return time.Duration(n) * time.Second }
