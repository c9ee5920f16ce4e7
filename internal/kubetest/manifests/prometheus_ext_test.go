package manifests_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

const (
	rulesFile = deploy + "/prometheus/aegis.rules.yml"
	ruleFile  = deploy + "/prometheus/prometheusrule.yaml"
	boardFile = deploy + "/grafana/aegis.json"
)

// ruleHead is what stands before the rules.
const ruleHead = `# Made from aegis.rules.yml, see kustomization.yaml: do not edit.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: aegis
spec:
`

// asRule returns the text of a file of rules as that of a PrometheusRule.
func asRule(text string) string {
	b := strings.Builder{}
	b.WriteString(ruleHead)
	for line := range strings.Lines(text) {
		if line != "\n" {
			b.WriteString("  ")
		}
		b.WriteString(line)
	}
	return b.String()
}

func TestPrometheusRuleIsTheFileOfRules(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(rulesFile)
	require.NoError(t, err)
	if *update {
		require.NoError(t, os.WriteFile(ruleFile, []byte(asRule(string(text))), 0o644)) //nolint:gosec // it is no secret
	}
	made, err := os.ReadFile(ruleFile)
	require.NoError(t, err)
	require.True(t, asRule(string(text)) == string(made), "run go test ./manifests -run PrometheusRule -update")
	var want monitoringv1.PrometheusRuleSpec
	require.NoError(t, yaml.UnmarshalStrict(text, &want))
	require.NotEmpty(t, want.Groups)
	got := named[*monitoringv1.PrometheusRule](t, build(t, production), "aegis")
	require.JSONEq(t, squeezed(t, want), squeezed(t, got.Spec))
}

// squeezed returns the JSON of rules, in which a query is one line: kustomize breaks lines anew.
func squeezed(t *testing.T, rules monitoringv1.PrometheusRuleSpec) string {
	t.Helper()
	text, err := json.Marshal(rules)
	require.NoError(t, err)
	return strings.Join(strings.Fields(strings.ReplaceAll(string(text), `\n`, " ")), " ")
}

func TestDashboardIsTheFile(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(boardFile)
	require.NoError(t, err)
	m := named[*corev1.ConfigMap](t, build(t, production), "aegis-dashboard")
	require.Equal(t, "1", m.Labels["grafana_dashboard"])
	require.Equal(t, map[string]string{"aegis.json": string(text)}, m.Data)
	// kubectl apply keeps a copy of an object in one of its annotations, all of which have 256 KiB.
	copied, err := json.Marshal(m)
	require.NoError(t, err)
	require.Less(t, len(copied), 256<<10)
}

// labelsOfPodMonitor are the labels that Prometheus gives each series of a PodMonitor. One of
// the same name that a program exports is renamed, and rules no longer find it.
func labelsOfPodMonitor() []string {
	return []string{"namespace", "pod", "container", "endpoint", "job", "instance"}
}
