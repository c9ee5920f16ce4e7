package rollout_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"

	"github.com/aegisrpc/aegis/internal/kubetest/manifests"
)

const (
	kubernetes = "../../../deploy/kubernetes"
	production = kubernetes + "/order/overlays/production"
)

// manifest is what the overlay production says of the example's servers.
type manifest struct {
	objects    []manifests.Object
	deployment *appsv1.Deployment
	budget     *policyv1.PodDisruptionBudget
}

func readManifest(t *testing.T) *manifest {
	t.Helper()
	m := &manifest{}
	var err error
	m.objects, err = manifests.Build(production)
	require.NoError(t, err)
	m.deployment, err = manifests.Named[*appsv1.Deployment](m.objects, "order")
	require.NoError(t, err)
	m.budget, err = manifests.Named[*policyv1.PodDisruptionBudget](m.objects, "order")
	require.NoError(t, err)
	require.NotNil(t, m.container().ReadinessProbe)
	require.NotNil(t, m.container().Lifecycle.PreStop.Sleep)
	return m
}

func (m *manifest) pod() *corev1.PodSpec { return &m.deployment.Spec.Template.Spec }

func (m *manifest) container() *corev1.Container { return &m.pod().Containers[0] }
