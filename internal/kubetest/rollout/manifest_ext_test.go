package rollout_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"sigs.k8s.io/yaml"
)

const base = "../../../deploy/kubernetes/order/base/"

// manifest is what the manifests say of the example's servers.
type manifest struct {
	deployment appsv1.Deployment
	budget     policyv1.PodDisruptionBudget
}

func readManifest(t *testing.T) *manifest {
	t.Helper()
	m := &manifest{}
	decode(t, "deployment.yaml", &m.deployment)
	decode(t, "disruption.yaml", &m.budget)
	require.NotNil(t, m.container().ReadinessProbe)
	require.NotNil(t, m.container().Lifecycle.PreStop.Sleep)
	return m
}

// decode reads the first object of a file and refuses fields that its type does not have.
func decode(t *testing.T, name string, into any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(base, name))
	require.NoError(t, err)
	first, _, _ := strings.Cut(string(text), "\n---\n")
	require.NoError(t, yaml.UnmarshalStrict([]byte(first), into))
}

func (m *manifest) pod() *corev1.PodSpec { return &m.deployment.Spec.Template.Spec }

func (m *manifest) container() *corev1.Container { return &m.pod().Containers[0] }
