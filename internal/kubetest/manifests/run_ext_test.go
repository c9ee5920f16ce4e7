package manifests_test

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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

	"github.com/aegisrpc/aegis/internal/embednats"
	"github.com/aegisrpc/aegis/internal/kubetest/manifests"
)

// The programs of the images start with the arguments, the environment and the files that the
// manifests give them, beside the NATS of the overlay, and become ready by their probes.
func TestProgramsRun(t *testing.T) { // the servers of NATS have variables of this process
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
		for _, c := range []*container{order, monitor} {
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
		checkScaler(t, objects, monitor.addresses["keda"])
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

// container is a program that runs as the container of a pod.
type container struct {
	name      string
	spec      corev1.Container
	addresses map[string]string // of the ports
	cmd       *exec.Cmd
	ended     chan error

	mu  sync.Mutex
	out bytes.Buffer
}

func (c *container) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.Write(p)
}

func (c *container) output() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.String()
}

// run starts the program of a Deployment. Its ports are free ones, and its files in a folder.
func (n *cluster) run(t *testing.T, objects []manifests.Object, name, program string) *container {
	t.Helper()
	pod := templates(objects)[name]
	c := &container{name: name, spec: pod.Spec.Containers[0], addresses: map[string]string{}, ended: make(chan error, 1)}
	files := n.mount(t, objects, pod)
	env := n.environment(t, c.spec.Env)
	args := slices.Clone(c.spec.Args)
	for i := range args {
		args[i] = files.Replace(c.listen(t, expanded(args[i], env)))
	}
	require.Len(t, c.addresses, len(c.spec.Ports), "a port that no argument has")
	c.cmd = exec.Command(program, args...) //nolint:gosec,noctx // it is stopped by a signal
	c.cmd.Stdout, c.cmd.Stderr = c, c
	c.cmd.Env = []string{"KUBERNETES_SERVICE_HOST=10.96.0.1", "NATS_SOCKS_PROXY=" + n.proxy, "AEGIS_PODINFO=" + files.Replace("/etc/podinfo")}
	for key, value := range env {
		c.cmd.Env = append(c.cmd.Env, key+"="+files.Replace(value))
	}
	require.NoError(t, c.cmd.Start())
	go func() { c.ended <- c.cmd.Wait() }()
	t.Cleanup(func() { _ = c.cmd.Process.Kill() }) // unless it has stopped
	return c
}

// environment returns the variables of a container.
func (n *cluster) environment(t *testing.T, all []corev1.EnvVar) map[string]string {
	t.Helper()
	fields := map[string]string{"metadata.name": "order-7d4b9-x2x4z", "metadata.namespace": "shop", "spec.nodeName": "node-1"}
	env := map[string]string{}
	for _, e := range all {
		require.NotContains(t, env, e.Name)
		env[e.Name] = e.Value
		if e.ValueFrom == nil {
			continue
		}
		if s := e.ValueFrom.SecretKeyRef; s != nil {
			require.Contains(t, n.secrets[s.Name], s.Key)
			env[e.Name] = string(n.secrets[s.Name][s.Key])
			continue
		}
		require.Contains(t, fields, e.ValueFrom.FieldRef.FieldPath)
		env[e.Name] = fields[e.ValueFrom.FieldRef.FieldPath]
	}
	return env
}

// expanded replaces $(NAME) as the kubelet does.
func expanded(arg string, env map[string]string) string {
	for key, value := range env {
		arg = strings.ReplaceAll(arg, "$("+key+")", value)
	}
	return arg
}

// listen replaces the port in an argument by one that is free.
func (c *container) listen(t *testing.T, arg string) string {
	t.Helper()
	for _, p := range c.spec.Ports {
		before, ok := strings.CutSuffix(arg, fmt.Sprintf("=:%d", p.ContainerPort))
		if !ok {
			continue
		}
		l, err := embednats.Listen()
		require.NoError(t, err)
		require.NoError(t, l.Close())
		c.addresses[p.Name] = l.Addr().String()
		return fmt.Sprintf("%s=:%d", before, l.Addr().(*net.TCPAddr).Port)
	}
	return arg
}

// mount makes the volumes of a pod, and returns what replaces their paths by those of a folder.
func (n *cluster) mount(t *testing.T, objects []manifests.Object, pod corev1.PodTemplateSpec) *strings.Replacer {
	t.Helper()
	dir := t.TempDir()
	var replace []string
	for _, m := range pod.Spec.Containers[0].VolumeMounts {
		i := slices.IndexFunc(pod.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == m.Name })
		require.GreaterOrEqual(t, i, 0)
		at := filepath.Join(dir, m.MountPath)
		require.NoError(t, os.MkdirAll(at, 0o750))
		for name, text := range n.content(t, objects, pod, pod.Spec.Volumes[i]) {
			require.NoError(t, os.WriteFile(filepath.Join(at, name), text, 0o600))
		}
		replace = append(replace, m.MountPath, at)
	}
	return strings.NewReplacer(replace...)
}

// content returns the files of a volume.
func (n *cluster) content(t *testing.T, objects []manifests.Object, pod corev1.PodTemplateSpec, v corev1.Volume) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	switch {
	case v.ConfigMap != nil:
		for name, text := range named[*corev1.ConfigMap](t, objects, v.ConfigMap.Name).Data {
			files[name] = []byte(text)
		}
	case v.Secret != nil:
		for _, item := range v.Secret.Items {
			require.Contains(t, n.secrets[v.Secret.SecretName], item.Key)
			files[item.Path] = n.secrets[v.Secret.SecretName][item.Key]
		}
	case v.DownwardAPI != nil:
		require.Equal(t, "metadata.labels", v.DownwardAPI.Items[0].FieldRef.FieldPath)
		labels := maps.Clone(pod.Labels)
		labels["topology.kubernetes.io/zone"] = "zone-a" // as Kubernetes adds it
		for key, value := range labels {
			files[v.DownwardAPI.Items[0].Path] = fmt.Appendf(files[v.DownwardAPI.Items[0].Path], "%s=%q\n", key, value)
		}
	default:
		require.Fail(t, "no such volume can be made: "+v.Name)
	}
	return files
}

// get asks a port of the program.
func (c *container) get(t *testing.T, port, path, token string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+c.addresses[port]+path, nil)
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
func (c *container) awaitReady(t *testing.T) {
	t.Helper()
	for _, p := range []*corev1.Probe{c.spec.ReadinessProbe, c.spec.LivenessProbe} {
		require.Eventually(t, func() bool {
			status, _ := c.get(t, p.HTTPGet.Port.StrVal, p.HTTPGet.Path, "")
			return status == http.StatusOK
		}, 30*time.Second, 20*time.Millisecond, "%s: %s", c.cmd, (*lazy)(c))
	}
}

// lazy is the output of a container at the time when it is printed.
type lazy container

func (l *lazy) String() string { return (*container)(l).output() }

// checkMetrics scrapes the program as a PodMonitor has Prometheus do.
func (c *container) checkMetrics(t *testing.T, e monitoringv1.PodMetricsEndpoint, n *cluster) {
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
func (c *container) stop(t *testing.T) {
	t.Helper()
	require.NoError(t, c.cmd.Process.Signal(syscall.SIGTERM))
	select {
	case <-c.ended:
		ok := []int{0, 128 + int(syscall.SIGTERM)} // the latter is how the command says that it was told to
		require.Contains(t, ok, c.cmd.ProcessState.ExitCode(), c.output())
	case <-time.After(45 * time.Second):
		require.Fail(t, "it would be killed", c.output())
	}
}
