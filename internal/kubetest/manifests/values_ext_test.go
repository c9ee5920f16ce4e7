package manifests_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/yaml"
)

// values are those of the Helm chart of NATS that values.yaml may have, by the names that the
// chart has for them. The chart itself is not there: conf makes its configuration as the chart does.
type values struct {
	Config struct {
		Cluster struct {
			Enabled   bool `json:"enabled"`
			Replicas  int  `json:"replicas"`
			RouteURLs struct {
				UseFQDN          bool   `json:"useFQDN"`
				K8sClusterDomain string `json:"k8sClusterDomain"`
			} `json:"routeURLs"`
			TLS tlsValues `json:"tls"`
		} `json:"cluster"`
		JetStream struct {
			Enabled   bool `json:"enabled"`
			FileStore struct {
				PVC struct {
					Size resource.Quantity `json:"size"`
				} `json:"pvc"`
				MaxSize resource.Quantity `json:"maxSize"`
			} `json:"fileStore"`
			MemoryStore switchValues   `json:"memoryStore"`
			Merge       map[string]any `json:"merge"`
		} `json:"jetstream"`
		NATS struct {
			TLS tlsValues `json:"tls"`
		} `json:"nats"`
		Merge map[string]any `json:"merge"`
	} `json:"config"`
	TLSCA     tlsValues `json:"tlsCA"`
	Container struct {
		Env   map[string]json.RawMessage `json:"env"`
		Merge containerValues            `json:"merge"`
	} `json:"container"`
	Reloader struct {
		Merge containerValues `json:"merge"`
	} `json:"reloader"`
	PodTemplate struct {
		TopologySpreadConstraints map[string]corev1.TopologySpreadConstraint `json:"topologySpreadConstraints"`
		Merge                     struct {
			Spec corev1.PodSpec `json:"spec"`
		} `json:"merge"`
	} `json:"podTemplate"`
	PodDisruptionBudget switchValues `json:"podDisruptionBudget"`
	Service             struct {
		Merge struct {
			Spec corev1.ServiceSpec `json:"spec"`
		} `json:"merge"`
	} `json:"service"`
	PromExporter struct {
		Enabled    bool            `json:"enabled"`
		PodMonitor switchValues    `json:"podMonitor"`
		Merge      containerValues `json:"merge"`
	} `json:"promExporter"`
	NATSBox switchValues `json:"natsBox"`
}

type (
	switchValues struct {
		Enabled bool `json:"enabled"`
	}
	tlsValues struct {
		Enabled    bool   `json:"enabled"`
		SecretName string `json:"secretName"`
	}
	containerValues struct {
		Resources       corev1.ResourceRequirements `json:"resources"`
		SecurityContext corev1.SecurityContext      `json:"securityContext"`
	}
)

func readValues(t *testing.T) (v values) {
	t.Helper()
	text, err := os.ReadFile(kubernetes + "/nats/values.yaml")
	require.NoError(t, err)
	require.NoError(t, yaml.UnmarshalStrict(text, &v))
	return v
}

// place is where a server of NATS runs in a test.
type place struct {
	certificates, store string
	port                int   // for routes
	routes              []int // the ports of all
}

// conf returns the configuration of the server with a number, as the chart makes it, but for ports and folders.
func (v *values) conf(t *testing.T, number int, at place) string {
	t.Helper()
	tls := map[string]any{
		"cert_file": filepath.Join(at.certificates, "tls.crt"), "key_file": filepath.Join(at.certificates, "tls.key"),
		"ca_file": filepath.Join(at.certificates, "ca.crt"), // tlsCA
	}
	var routes []string
	for _, port := range at.routes {
		routes = append(routes, fmt.Sprintf("tls://127.0.0.1:%d", port))
	}
	conf := map[string]any{
		"server_name": fmt.Sprintf("nats-%d", number),
		"tls":         tls,
		"cluster":     map[string]any{"name": "nats", "host": "127.0.0.1", "port": at.port, "no_advertise": true, "routes": routes, "tls": tls},
		"jetstream":   map[string]any{"store_dir": at.store, "max_memory_store": 0, "max_file_store": v.Config.JetStream.FileStore.MaxSize.Value()},
	}
	for key, value := range v.Config.JetStream.Merge {
		conf["jetstream"].(map[string]any)[key] = value
	}
	for key, value := range v.Config.Merge {
		require.NotContains(t, conf, key)
		conf[key] = value
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	require.NoError(t, encoder.Encode(conf))
	return regexp.MustCompile(`"<<\s+(.*)\s+>>"`).ReplaceAllString(text.String(), "$1")
}

func TestNATSSurvivesTheLossOfANode(t *testing.T) {
	t.Parallel()
	v := readValues(t)
	require.True(t, v.Config.Cluster.Enabled && v.Config.JetStream.Enabled && v.PodDisruptionBudget.Enabled)
	require.Equal(t, 3, v.Config.Cluster.Replicas)
	require.Equal(t, corev1.DoNotSchedule, v.PodTemplate.TopologySpreadConstraints["kubernetes.io/hostname"].WhenUnsatisfiable)
	require.Equal(t, "always", v.Config.JetStream.Merge["sync_interval"])
	store := v.Config.JetStream.FileStore
	require.Negative(t, store.MaxSize.Cmp(store.PVC.Size), "a full store has to be noticed before the volume is full")
}

func TestNATSCanDoNothingButRun(t *testing.T) {
	t.Parallel()
	v := readValues(t)
	for _, c := range []containerValues{v.Container.Merge, v.Reloader.Merge, v.PromExporter.Merge} {
		require.True(t, *c.SecurityContext.ReadOnlyRootFilesystem)
		require.False(t, *c.SecurityContext.AllowPrivilegeEscalation)
		require.Equal(t, []corev1.Capability{"ALL"}, c.SecurityContext.Capabilities.Drop)
		require.Positive(t, c.Resources.Requests.Cpu().MilliValue())
		require.Positive(t, c.Resources.Limits.Memory().Value())
	}
	pod := v.PodTemplate.Merge.Spec
	require.False(t, *pod.AutomountServiceAccountToken)
	require.True(t, *pod.SecurityContext.RunAsNonRoot)
	require.Positive(t, *pod.SecurityContext.RunAsUser)
	require.Equal(t, pod.SecurityContext.RunAsUser, pod.SecurityContext.FSGroup, "the volume has to be writable")
	checkMemory(t, strings.Trim(string(v.Container.Env["GOMEMLIMIT"]), `"`), v.Container.Merge.Resources.Limits.Memory())
}

// Each variable of the configuration comes from the Secret that the user's programs have it from.
func TestPasswordsOfNATSAreThoseOfThePrograms(t *testing.T) {
	t.Parallel()
	v := readValues(t)
	variables := regexp.MustCompile(`\$([A-Z]+)_PASSWORD`).FindAllStringSubmatch(v.conf(t, 0, place{}), -1)
	require.Len(t, variables, 3)
	for _, found := range variables {
		var e corev1.EnvVar
		require.NoError(t, json.Unmarshal(v.Container.Env[found[0][1:]], &e))
		require.Equal(t, "nats-"+strings.ToLower(found[1]), e.ValueFrom.SecretKeyRef.Name)
		require.Equal(t, "password", e.ValueFrom.SecretKeyRef.Key)
	}
}

// certificate is what is needed of cert-manager's Certificate.
type certificate struct {
	Metadata struct{ Name string }
	Spec     struct {
		SecretName string
		DNSNames   []string
		Usages     []string
	}
}

// natsCertificate returns the certificate of NATS that cert-manager is asked for.
func natsCertificate(t *testing.T) (c certificate) {
	t.Helper()
	for _, text := range documents(t, kubernetes+"/nats/certificates.yaml") {
		require.NoError(t, json.Unmarshal(text, &c))
		if c.Metadata.Name == "nats-tls" {
			break
		}
	}
	v := readValues(t)
	require.Equal(t, c.Spec.SecretName, v.Config.NATS.TLS.SecretName)
	require.Equal(t, c.Spec.SecretName, v.Config.Cluster.TLS.SecretName)
	require.Equal(t, c.Spec.SecretName, v.TLSCA.SecretName)
	require.True(t, v.Config.NATS.TLS.Enabled && v.Config.Cluster.TLS.Enabled && v.TLSCA.Enabled)
	require.Subset(t, c.Spec.Usages, []string{"server auth", "client auth"})
	return c
}
