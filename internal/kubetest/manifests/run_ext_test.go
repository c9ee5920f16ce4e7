package manifests_test

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/aegisrpc/aegis/internal/kubetest/container"
	"github.com/aegisrpc/aegis/internal/kubetest/manifests"
)

// The programs of the images start with the arguments, the environment and the files that the
// manifests give them, beside the NATS of the overlay, and become ready by their probes.
func TestProgramsRun(t *testing.T) {
	t.Parallel()
	programs := buildImages(t)
	t.Run("development", func(t *testing.T) {
		objects := build(t, development)
		nats := startDevelopment(t, named[*corev1.ConfigMap](t, objects, configName(t, objects)).Data["nats.conf"])
		order := nats.run(t, objects, "order", programs["order"])
		order.awaitReady(t)
		order.stop(t)
	})
	t.Run("production", func(t *testing.T) {
		objects := scaled(t)
		nats := startProduction(t)
		order := nats.run(t, objects, "order", programs["order"])
		checkPermissions(t, programs["aegis"])
		monitor := nats.run(t, objects, "monitor", programs["aegis"])
		for _, c := range []*running{order, monitor} {
			c.awaitReady(t)
			c.checkMetrics(t, named[*monitoringv1.PodMonitor](t, objects, c.name).Spec.PodMetricsEndpoints[0], nats)
		}
		require.Contains(t, order.output(), "zone=zone-a")
		status, _ := monitor.get(t, "http", "/api/v1/overview", "")
		require.Equal(t, http.StatusUnauthorized, status)
		require.Eventually(t, func() bool {
			_, overview := monitor.get(t, "http", "/api/v1/overview", "t0ken")
			return strings.Contains(overview, "order.v1.OrderService")
		}, 30*time.Second, 50*time.Millisecond)
		checkScaler(t, objects, monitor.Addresses["keda"])
		order.stop(t)
		monitor.stop(t)
	})
}

// configName returns the name of the map with the configuration of NATS.
func configName(t *testing.T, objects []manifests.Object) string {
	t.Helper()
	for _, v := range templates(objects)["nats"].Spec.Volumes {
		if v.ConfigMap != nil {
			return v.ConfigMap.Name
		}
	}
	require.Fail(t, "NATS has no configuration")
	return ""
}

// running is a program that runs as the container of a pod.
type running struct {
	*container.Command
	name  string
	ended chan error

	mu  sync.Mutex
	out bytes.Buffer
}

func (c *running) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.Write(p)
}

func (c *running) output() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.String()
}

// run starts the program of a Deployment.
func (n *cluster) run(t *testing.T, objects []manifests.Object, name, program string) *running {
	t.Helper()
	pod := container.Pod{
		Template: templates(objects)[name], Name: "order-7d4b9-x2x4z", Node: "node-1", Zone: "zone-a", Objects: objects, Secrets: n.secrets,
	}
	command, err := pod.Command(program, t.TempDir())
	require.NoError(t, err)
	c := &running{Command: command, name: name, ended: make(chan error, 1)}
	c.Stdout, c.Stderr = c, c
	c.Env = append(c.Env, "NATS_SOCKS_PROXY="+n.proxy)
	require.NoError(t, c.Start())
	go func() { c.ended <- c.Wait() }()
	t.Cleanup(func() { _ = c.Process.Kill() }) // unless it has stopped
	return c
}

// get asks a port of the program.
func (c *running) get(t *testing.T, port, path, token string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+c.Addresses[port]+path, nil)
	require.NoError(t, err)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res.StatusCode, string(text)
}

// awaitReady waits until the probes say that all is well.
func (c *running) awaitReady(t *testing.T) {
	t.Helper()
	for _, p := range []*corev1.Probe{c.Spec.ReadinessProbe, c.Spec.LivenessProbe} {
		require.Eventually(t, func() bool {
			status, _ := c.get(t, p.HTTPGet.Port.StrVal, p.HTTPGet.Path, "")
			return status == http.StatusOK
		}, 30*time.Second, 20*time.Millisecond, "%s: %s", c.Cmd, (*lazy)(c))
	}
}

// lazy is the output of a container at the time when it is printed.
type lazy running

func (l *lazy) String() string { return (*running)(l).output() }

// checkMetrics scrapes the program as a PodMonitor has Prometheus do.
func (c *running) checkMetrics(t *testing.T, e monitoringv1.PodMetricsEndpoint, n *cluster) {
	t.Helper()
	var token string
	if a := e.Authorization; a != nil {
		token = string(n.secrets[a.Credentials.Name][a.Credentials.Key])
	}
	status, text := c.get(t, *e.Port, e.Path, token)
	require.Equal(t, http.StatusOK, status, text)
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	require.NoError(t, err)
	var ours int
	for name, f := range families {
		if strings.HasPrefix(name, "aegis_") {
			ours++
		}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				require.NotContains(t, labelsOfPodMonitor(), l.GetName(), name)
			}
		}
	}
	require.Positive(t, ours)
}

// stop stops the program as the kubelet does.
func (c *running) stop(t *testing.T) {
	t.Helper()
	require.NoError(t, c.Process.Signal(syscall.SIGTERM))
	select {
	case <-c.ended:
		ok := []int{0, 128 + int(syscall.SIGTERM)} // the latter is how the command says that it was told to
		require.Contains(t, ok, c.ProcessState.ExitCode(), c.output())
	case <-time.After(45 * time.Second):
		require.Fail(t, "it would be killed", c.output())
	}
}
