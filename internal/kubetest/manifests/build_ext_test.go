package manifests_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/aegisrpc/aegis/internal/kubetest/manifests"
)

func TestEveryKustomizationBuilds(t *testing.T) {
	t.Parallel()
	for _, dir := range kustomizations(t) {
		objects := scaled(t)
		if filepath.Base(dir) != "keda" { // a component is built with an overlay
			objects = build(t, dir)
		}
		for _, o := range objects {
			require.NotEmpty(t, o.GetName())
			if u, ok := o.(*unstructured.Unstructured); ok {
				checkSchema(t, u)
			}
		}
	}
}

func TestOverlaysHaveOneNamespace(t *testing.T) {
	t.Parallel()
	for _, objects := range [][]manifests.Object{build(t, development), build(t, production), scaled(t)} {
		for _, o := range objects {
			require.Equal(t, "shop", o.GetNamespace(), o.GetName())
		}
	}
}

func TestFieldsThatAreUnknownOrTwiceAreRefused(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"},"spec":{"container":[]}}`:              `unknown field "spec.container"`,
		`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","name":"b"}}`:                           `duplicate field "metadata.name"`,
		`{"apiVersion":"monitoring.coreos.com/v1","kind":"PodMonitor","metadata":{},"spec":{"port":1}}`: `unknown field "spec.port"`,
	} {
		_, err := manifests.Decode([]byte(text))
		require.ErrorContains(t, err, want)
	}
}

// kustomize itself takes the last of two values.
func TestNoFileHasAKeyTwice(t *testing.T) {
	t.Parallel()
	for _, end := range []string{".yaml", ".yml"} {
		for _, path := range files(t, end) {
			documents(t, path)
		}
	}
}

func TestEveryFileIsUsed(t *testing.T) {
	t.Parallel()
	alone := []string{"certificates.yaml", "values.yaml", "aegis.rules.yml", "kustomization.yaml"}
	for _, path := range slices.Concat(files(t, ".yaml"), files(t, ".yml"), files(t, ".json"), files(t, ".conf")) {
		if slices.Contains(alone, filepath.Base(path)) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(filepath.Dir(path), "kustomization.yaml"))
		require.NoError(t, err)
		require.Contains(t, string(text), filepath.Base(path))
	}
}

func TestNobodyHasRights(t *testing.T) {
	t.Parallel()
	for _, objects := range [][]manifests.Object{build(t, development), scaled(t)} {
		require.Empty(t, of[*rbacv1.RoleBinding](objects))
		require.Empty(t, of[*rbacv1.ClusterRoleBinding](objects))
		for _, account := range of[*corev1.ServiceAccount](objects) {
			require.False(t, *account.AutomountServiceAccountToken)
		}
		for name, pod := range templates(objects) {
			require.False(t, *pod.Spec.AutomountServiceAccountToken, name)
			if account := pod.Spec.ServiceAccountName; account != "" {
				named[*corev1.ServiceAccount](t, objects, account)
			}
		}
	}
}

func TestNoSecretIsInTheRepository(t *testing.T) {
	t.Parallel()
	for _, dir := range []string{development, production} {
		require.Empty(t, of[*corev1.Secret](build(t, dir)))
	}
}
