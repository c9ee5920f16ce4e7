package manifests_test

import (
	"encoding/json"
	"flag"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/aegisrpc/aegis/internal/kubetest/manifests"
	"github.com/aegisrpc/aegis/internal/leaktest"
)

const (
	root        = "../../.."
	deploy      = root + "/deploy"
	kubernetes  = deploy + "/kubernetes"
	base        = kubernetes + "/order/base"
	development = kubernetes + "/order/overlays/development"
	production  = kubernetes + "/order/overlays/production"
)

var update = flag.Bool("update", false, "write prometheusrule.yaml anew")

func TestMain(m *testing.M) { leaktest.Run(m) }

// build returns the objects of a kustomization.
func build(t *testing.T, dir string) []manifests.Object {
	t.Helper()
	objects, err := manifests.Build(dir)
	require.NoError(t, err)
	require.NotEmpty(t, objects)
	return objects
}

// scaled returns the objects of production with the component keda, which is to be uncommented there.
func scaled(t *testing.T) []manifests.Object {
	t.Helper()
	text, err := os.ReadFile(production + "/kustomization.yaml")
	require.NoError(t, err)
	on := strings.Replace(string(text), "# components:", "components:", 1)
	require.NotEqual(t, string(text), on)
	dir := filepath.Join(t.TempDir(), "deploy")
	require.NoError(t, os.CopyFS(dir, os.DirFS(deploy)))
	path := filepath.Join(dir, strings.TrimPrefix(production, deploy), "kustomization.yaml")
	require.NoError(t, os.WriteFile(path, []byte(on), 0o600))
	return build(t, filepath.Dir(path))
}

// of returns the objects of a type.
func of[T manifests.Object](objects []manifests.Object) []T { return manifests.Of[T](objects) }

// named returns the object of a type and a name.
func named[T manifests.Object](t *testing.T, objects []manifests.Object, name string) T {
	t.Helper()
	one, err := manifests.Named[T](objects, name)
	require.NoError(t, err)
	return one
}

// templates returns the pods that the objects make, by the names of those that make them.
func templates(objects []manifests.Object) map[string]corev1.PodTemplateSpec {
	found := map[string]corev1.PodTemplateSpec{}
	for _, d := range of[*appsv1.Deployment](objects) {
		found[d.Name] = d.Spec.Template
	}
	for _, s := range of[*appsv1.StatefulSet](objects) {
		found[s.Name] = s.Spec.Template
	}
	return found
}

// kustomizations returns the directories that have one.
func kustomizations(t *testing.T) (dirs []string) {
	t.Helper()
	for _, path := range files(t, ".yaml") {
		if filepath.Base(path) == "kustomization.yaml" {
			dirs = append(dirs, filepath.Dir(path))
		}
	}
	require.Len(t, dirs, 8)
	return dirs
}

// files returns the files in deploy whose names end in a way.
func files(t *testing.T, end string) (paths []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(deploy, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(path, end) {
			paths = append(paths, path)
		}
		return err
	}))
	require.NotEmpty(t, paths)
	return paths
}

// documents returns the documents of a file of YAML as JSON. A key that is there twice is an error.
func documents(t *testing.T, path string) (all [][]byte) {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	for _, one := range strings.Split(string(text), "\n---\n") {
		var document map[string]any
		require.NoError(t, yaml.UnmarshalStrict([]byte(one), &document), path)
		encoded, err := json.Marshal(document)
		require.NoError(t, err)
		all = append(all, encoded)
	}
	return all
}

// moduleDir returns where the files of a module are.
func moduleDir(t *testing.T, module string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	require.NoError(t, err)
	return strings.TrimSpace(string(out))
}
