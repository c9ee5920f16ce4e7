package manifests_test

import (
	"crypto/x509"
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/aegisrpc/aegis/internal/kubetest/natschart"
)

func readValues(t *testing.T) *natschart.Values {
	t.Helper()
	v, err := natschart.ReadValues(kubernetes + "/nats")
	require.NoError(t, err)
	return v
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
	for _, c := range []natschart.Container{v.Container.Merge, v.Reloader.Merge, v.PromExporter.Merge} {
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
	conf, err := v.Conf(natschart.Place{})
	require.NoError(t, err)
	variables := regexp.MustCompile(`\$([A-Z]+)_PASSWORD`).FindAllStringSubmatch(conf, -1)
	require.Len(t, variables, 3)
	for _, found := range variables {
		var e corev1.EnvVar
		require.NoError(t, json.Unmarshal(v.Container.Env[found[0][1:]], &e))
		require.Equal(t, "nats-"+strings.ToLower(found[1]), e.ValueFrom.SecretKeyRef.Name)
		require.Equal(t, "password", e.ValueFrom.SecretKeyRef.Key)
	}
}

// The names that servers, programs and aegis --kube use.
func TestCertificateHasTheNamesOfNATS(t *testing.T) {
	t.Parallel()
	v := readValues(t)
	c, err := natschart.ReadCertificate(kubernetes+"/nats", v)
	require.NoError(t, err)
	leaf := x509.Certificate{DNSNames: c.DNSNames}
	names := []string{"nats", "nats.shop.svc"}
	require.True(t, v.Config.Cluster.RouteURLs.UseFQDN)
	for i := range v.Config.Cluster.Replicas {
		names = append(names, "nats-"+strconv.Itoa(i)+".nats-headless.shop.svc."+v.Config.Cluster.RouteURLs.K8sClusterDomain)
	}
	for _, name := range names {
		require.NoError(t, leaf.VerifyHostname(name))
	}
	require.Error(t, leaf.VerifyHostname("order.shop.svc"))
}
