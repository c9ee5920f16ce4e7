package manifests_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	_ "github.com/cert-manager/cert-manager/pkg/apis/certmanager" // its module has the schemas of its objects
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/kube-openapi/pkg/validation/spec"
	"k8s.io/kube-openapi/pkg/validation/strfmt"
	"k8s.io/kube-openapi/pkg/validation/validate"
	"sigs.k8s.io/yaml"

	"github.com/aegisrpc/aegis/internal/kubetest/manifests"
)

// schemas have for each kind of an operator the module and the file in it that define the kind.
var schemas = map[string][2]string{
	"ScaledObject": {"github.com/kedacore/keda/v2", "config/crd/bases/keda.sh_scaledobjects.yaml"},
	"Certificate":  {"github.com/cert-manager/cert-manager", "deploy/crds/cert-manager.io_certificates.yaml"},
	"Issuer":       {"github.com/cert-manager/cert-manager", "deploy/crds/cert-manager.io_issuers.yaml"},
}

// definition is what is needed of a CustomResourceDefinition.
type definition struct {
	Spec struct {
		Group    string
		Versions []struct {
			Name   string
			Schema struct{ OpenAPIV3Schema spec.Schema }
		}
	}
}

// checkSchema fails if an object is not as its operator defines its kind, or has something that is not defined.
func checkSchema(t *testing.T, o *unstructured.Unstructured) {
	t.Helper()
	where, ok := schemas[o.GetKind()]
	require.True(t, ok, "no types and no schema for the kind %s", o.GetKind())
	text, err := os.ReadFile(filepath.Join(moduleDir(t, where[0]), where[1]))
	require.NoError(t, err)
	var d definition
	require.NoError(t, yaml.Unmarshal(text, &d))
	for _, v := range d.Spec.Versions {
		if d.Spec.Group+"/"+v.Name != o.GetAPIVersion() {
			continue
		}
		schema := v.Schema.OpenAPIV3Schema
		require.Empty(t, undefined(&schema, o.Object, o.GetKind()))
		result := validate.NewSchemaValidator(&schema, nil, "", strfmt.Default).Validate(o.Object)
		require.NoError(t, result.AsError(), o.GetName())
		return
	}
	require.Fail(t, "its operator has no version "+o.GetAPIVersion())
}

// undefined returns the fields of a value that its schema does not define.
func undefined(s *spec.Schema, value any, at string) (found []string) {
	switch value := value.(type) {
	case map[string]any:
		for key, v := range value {
			next, ok := s.Properties[key]
			switch {
			case ok:
				found = append(found, undefined(&next, v, at+"."+key)...)
			case s.AdditionalProperties == nil && at+"."+key != at+".metadata" && len(s.Properties) > 0:
				found = append(found, at+"."+key)
			}
		}
	case []any:
		for _, v := range value {
			if s.Items != nil && s.Items.Schema != nil {
				found = append(found, undefined(s.Items.Schema, v, at+"[]")...)
			}
		}
	}
	slices.Sort(found)
	return found
}

func TestSchemaRefusesWhatItDoesNotDefine(t *testing.T) {
	t.Parallel()
	var s spec.Schema
	require.NoError(t, json.Unmarshal([]byte(`{"type":"object","properties":{"a":{"type":"array","items":{"type":"object","properties":{"b":{}}}}}}`), &s))
	require.Equal(t, []string{"X.a[].c"}, undefined(&s, map[string]any{"a": []any{map[string]any{"b": 1, "c": 1}}}, "X"))
}

// The files that are applied as they are, without kustomize.
func TestPlainFilesAreWhatTheirOperatorsDefine(t *testing.T) {
	t.Parallel()
	for _, text := range documents(t, kubernetes+"/nats/certificates.yaml") {
		o, err := manifests.Decode(text)
		require.NoError(t, err)
		checkSchema(t, o.(*unstructured.Unstructured))
	}
}
