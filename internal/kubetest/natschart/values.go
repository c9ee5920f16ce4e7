// Package natschart runs the NATS that deploy/kubernetes/nats has NATS's own Helm chart install:
// as many real servers, each a process, with the configuration that the chart makes of
// values.yaml, certificates as cert-manager would make them, and in front of them what the Service
// of the chart is. Servers start, become ready and end as the chart has the kubelet do it. The chart
// itself is not there: conf.go and server.go say what it says (nats-io/k8s, helm/charts/nats).
package natschart

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/yaml"
)

// Values are those of the Helm chart of NATS that values.yaml may have, by the names that the
// chart has for them.
type Values struct {
	Config struct {
		Cluster struct {
			Enabled   bool `json:"enabled"`
			Replicas  int  `json:"replicas"`
			RouteURLs struct {
				UseFQDN          bool   `json:"useFQDN"`
				K8sClusterDomain string `json:"k8sClusterDomain"`
			} `json:"routeURLs"`
			TLS TLS `json:"tls"`
		} `json:"cluster"`
		JetStream struct {
			Enabled   bool `json:"enabled"`
			FileStore struct {
				PVC struct {
					Size resource.Quantity `json:"size"`
				} `json:"pvc"`
				MaxSize resource.Quantity `json:"maxSize"`
			} `json:"fileStore"`
			MemoryStore Switch         `json:"memoryStore"`
			Merge       map[string]any `json:"merge"`
		} `json:"jetstream"`
		NATS struct {
			TLS TLS `json:"tls"`
		} `json:"nats"`
		Merge map[string]any `json:"merge"`
	} `json:"config"`
	TLSCA     TLS `json:"tlsCA"`
	Container struct {
		Env   map[string]json.RawMessage `json:"env"`
		Merge Container                  `json:"merge"`
	} `json:"container"`
	Reloader struct {
		Merge Container `json:"merge"`
	} `json:"reloader"`
	PodTemplate struct {
		TopologySpreadConstraints map[string]corev1.TopologySpreadConstraint `json:"topologySpreadConstraints"`
		Merge                     struct {
			Spec corev1.PodSpec `json:"spec"`
		} `json:"merge"`
	} `json:"podTemplate"`
	PodDisruptionBudget Switch `json:"podDisruptionBudget"`
	Service             struct {
		Merge struct {
			Spec corev1.ServiceSpec `json:"spec"`
		} `json:"merge"`
	} `json:"service"`
	PromExporter struct {
		Enabled    bool      `json:"enabled"`
		PodMonitor Switch    `json:"podMonitor"`
		Merge      Container `json:"merge"`
	} `json:"promExporter"`
	NATSBox Switch `json:"natsBox"`
}

// Switch turns a part of the chart on.
type Switch struct {
	Enabled bool `json:"enabled"`
}

// TLS is a Secret with a certificate.
type TLS struct {
	Enabled    bool   `json:"enabled"`
	SecretName string `json:"secretName"`
}

// Container is what is added to a container.
type Container struct {
	Resources       corev1.ResourceRequirements `json:"resources"`
	SecurityContext corev1.SecurityContext      `json:"securityContext"`
}

// ReadValues reads values.yaml in a directory, and refuses what this package does not know.
func ReadValues(dir string) (*Values, error) {
	text, err := os.ReadFile(filepath.Join(dir, "values.yaml"))
	if err != nil {
		return nil, err
	}
	v := &Values{}
	if err := yaml.UnmarshalStrict(text, v); err != nil {
		return nil, fmt.Errorf("values.yaml: %w", err)
	}
	return v, nil
}
