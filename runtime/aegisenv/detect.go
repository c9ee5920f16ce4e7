package aegisenv

import (
	"cmp"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/aegisrpc/aegis/internal/wire"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/internal/dial"
)

// Kinds of environments.
const (
	// Local is any place outside a cluster.
	Local = "local"
	// Kubernetes is a pod of a Kubernetes cluster.
	Kubernetes = "kubernetes"
)

// Environment is where a program runs and what it is a copy of, as far as the environment
// says. See the package's documentation for the variables.
type Environment struct {
	// Kind is Local or Kubernetes.
	Kind string
	// Instance is the name of the instance; "" for one that is made up.
	Instance string
	// Build is the version of the program.
	Build string
	// Node is the machine, Zone where it is.
	Node, Zone string
	// Namespace and Pod are those of Kubernetes; "" elsewhere.
	Namespace, Pod string
	// Labels are those of the variable and of the pod.
	Labels map[string]string
	// Reserved: see aegis.WithReserved.
	Reserved bool
	// Replicas is how many NATS servers keep streams and buckets, see aegis.WithReplicas; 0
	// if the environment says nothing of it.
	Replicas int
}

const (
	variableKind     = "AEGIS_ENVIRONMENT"
	variableReserved = "AEGIS_RESERVED"
	variableReplicas = "AEGIS_REPLICAS"
	variableLabels   = "AEGIS_LABELS"
	variablePodInfo  = "AEGIS_PODINFO"

	// podInfo is where the manifests of the project mount the downward API's volume.
	podInfo = "/etc/podinfo"
	// serviceAccount is where Kubernetes mounts the account of a pod.
	serviceAccount = "/var/run/secrets/kubernetes.io/serviceaccount"
	// zoneLabel is the label of nodes, and since Kubernetes 1.35 of their pods, for the zone.
	zoneLabel = "topology.kubernetes.io/zone"
)

// Detect finds out where the program runs. It reads variables and files, and asks nobody.
// The error wraps ErrInvalid and names the variable or the file that cannot be used.
func Detect() (Environment, error) {
	e := Environment{Kind: os.Getenv(variableKind), Instance: os.Getenv("AEGIS_INSTANCE")}
	switch {
	case e.Kind == "" && inPod():
		e.Kind = Kubernetes
	case e.Kind == "":
		e.Kind = Local
	case e.Kind != Local && e.Kind != Kubernetes:
		return Environment{}, invalidf("%s: %.100q is no environment; use %s or %s", variableKind, e.Kind, Kubernetes, Local)
	}
	resource := resourceAttributes(os.Getenv("OTEL_RESOURCE_ATTRIBUTES"))
	e.Build = cmp.Or(os.Getenv("AEGIS_BUILD"), os.Getenv("OTEL_SERVICE_VERSION"), resource["service.version"], dial.BuiltVersion())
	e.Node = cmp.Or(os.Getenv("AEGIS_NODE"), resource["k8s.node.name"], resource["host.name"])
	e.Zone = cmp.Or(os.Getenv("AEGIS_ZONE"), resource["cloud.availability_zone"])
	if e.Kind == Kubernetes {
		if err := detectPod(&e, resource); err != nil {
			return Environment{}, err
		}
	}
	if err := addLabels(&e, os.Getenv(variableLabels)); err != nil {
		return Environment{}, err
	}
	if text := os.Getenv(variableReserved); text != "" {
		reserved, err := strconv.ParseBool(text)
		if err != nil {
			return Environment{}, invalidf("%s: %.100q is neither true nor false", variableReserved, text)
		}
		e.Reserved = reserved
	}
	if text := os.Getenv(variableReplicas); text != "" {
		replicas, err := strconv.Atoi(text)
		if err != nil || !slices.Contains([]int{1, 3, 5}, replicas) {
			return Environment{}, invalidf("%s: %.100q is no number of replicas; use 1, 3 or 5", variableReplicas, text)
		}
		e.Replicas = replicas
	}
	return e, nil
}

// inPod reports whether the program runs in a pod. Pods without services in their
// environment (enableServiceLinks) have the variable all the same.
func inPod() bool {
	if os.Getenv("KUBERNETES_SERVICE_HOST") != "" {
		return true
	}
	_, err := os.Stat(serviceAccount)
	return err == nil
}

// detectPod finds out what Kubernetes says of the pod.
func detectPod(e *Environment, resource map[string]string) error {
	host, _ := os.Hostname()
	e.Pod = cmp.Or(os.Getenv("POD_NAME"), resource["k8s.pod.name"], host)
	namespace, _ := os.ReadFile(filepath.Join(serviceAccount, "namespace"))
	e.Namespace = cmp.Or(os.Getenv("POD_NAMESPACE"), resource["k8s.namespace.name"], strings.TrimSpace(string(namespace)))
	e.Node = cmp.Or(e.Node, os.Getenv("NODE_NAME"))
	labels, err := podLabels(filepath.Join(cmp.Or(os.Getenv(variablePodInfo), podInfo), "labels"))
	if err != nil {
		return err
	}
	e.Zone = cmp.Or(e.Zone, labels[zoneLabel])
	for key, value := range labels {
		if !ofKubernetesAlone(key) {
			label(e, key, value)
		}
	}
	return nil
}

// ofKubernetesAlone reports whether a label is one that Kubernetes gives its pods for its
// own use, or that the environment has in another field.
func ofKubernetesAlone(key string) bool {
	return slices.Contains([]string{
		"pod-template-hash", "controller-revision-hash", "pod-template-generation", "statefulset.kubernetes.io/pod-name",
		"apps.kubernetes.io/pod-index", "topology.kubernetes.io/region", zoneLabel,
	}, key)
}

func label(e *Environment, key, value string) {
	if e.Labels == nil {
		e.Labels = make(map[string]string)
	}
	e.Labels[key] = value
}

// addLabels adds labels of the form KEY=VALUE,KEY=VALUE.
func addLabels(e *Environment, text string) error {
	for pair := range strings.SplitSeq(text, ",") {
		if strings.TrimSpace(pair) == "" {
			continue
		}
		key, value, ok := strings.Cut(pair, "=")
		if key = strings.TrimSpace(key); !ok || key == "" {
			return invalidf("%s: %.100q has not the form KEY=VALUE", variableLabels, pair)
		}
		label(e, key, strings.TrimSpace(value))
	}
	return nil
}

// podLabels reads a file of the downward API: lines of the form KEY="VALUE", in which the
// value is quoted as in Go. A file that is not there has none.
func podLabels(path string) (map[string]string, error) {
	text, err := os.ReadFile(path) //nolint:gosec // the user names it
	if os.IsNotExist(err) {
		return nil, nil //nolint:nilnil // no labels
	}
	if err != nil {
		return nil, invalidf("the labels of the pod (%s): %w", variablePodInfo, err)
	}
	labels := make(map[string]string)
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		key, quoted, ok := strings.Cut(line, "=")
		value, err := strconv.Unquote(quoted)
		if !ok || err != nil {
			return nil, invalidf("the labels of the pod (%s): %s: %.100q has not the form KEY=\"VALUE\"", variablePodInfo, path, line)
		}
		labels[key] = value
	}
	return labels, nil
}

// resourceAttributes reads OpenTelemetry's variable for the attributes of a resource. What
// has not the form KEY=VALUE is left out: it is for others to complain about.
func resourceAttributes(text string) map[string]string {
	attributes := make(map[string]string)
	for pair := range strings.SplitSeq(text, ",") {
		if key, value, ok := strings.Cut(pair, "="); ok {
			attributes[strings.TrimSpace(key)] = strings.TrimSpace(value)
		}
	}
	return attributes
}

// Options returns the options of a connection that say all of it. Connect gives them by
// itself.
func (e Environment) Options() []aegis.ConnOption {
	opts := []aegis.ConnOption{
		aegis.WithInstance(e.Instance), aegis.WithZone(e.Zone), aegis.WithNode(e.Node), aegis.WithBuild(e.Build), aegis.WithLabels(e.Labels),
		aegis.WithReplicas(e.Replicas),
	}
	if e.Reserved {
		opts = append(opts, aegis.WithReserved())
	}
	return opts
}

// bare reports whether nobody has said anything of the program, as on the machine of the
// person who has started it.
func (e Environment) bare() bool {
	return e.Kind == Local && !e.Reserved && e.Replicas == 0 && e.Instance+e.Node+e.Zone+e.labels() == ""
}

// LogValue has slog log what is known.
func (e Environment) LogValue() slog.Value {
	attrs := []slog.Attr{slog.String("kind", e.Kind)}
	for _, one := range []struct{ key, value string }{
		{"instance", e.Instance},
		{"build", e.Build},
		{"node", e.Node},
		{"zone", e.Zone},
		{"namespace", e.Namespace},
		{"pod", e.Pod},
		{"labels", e.labels()},
	} {
		if one.value != "" {
			attrs = append(attrs, slog.String(one.key, one.value))
		}
	}
	if e.Reserved {
		attrs = append(attrs, slog.Bool("reserved", true))
	}
	if e.Replicas != 0 {
		attrs = append(attrs, slog.Int("replicas", e.Replicas))
	}
	return slog.GroupValue(attrs...)
}

// String returns what is known, in one line.
func (e Environment) String() string {
	var parts []string
	for _, a := range e.LogValue().Group() {
		parts = append(parts, fmt.Sprintf("%s=%s", a.Key, a.Value))
	}
	return strings.Join(parts, " ")
}

// labels returns the labels in order, as KEY=VALUE,KEY=VALUE.
func (e Environment) labels() string {
	return strings.Join(wire.LabelPairs(e.Labels), ",")
}
