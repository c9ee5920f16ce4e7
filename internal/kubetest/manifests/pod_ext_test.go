package manifests_test

import (
	"maps"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/aegisrpc/aegis/internal/kubetest/manifests"
)

// eachPod runs a check of the pods of all overlays.
func eachPod(t *testing.T, check func(t *testing.T, objects []manifests.Object, name string, pod corev1.PodTemplateSpec)) {
	t.Helper()
	for overlay, objects := range map[string][]manifests.Object{"development": build(t, development), "production": build(t, production), "keda": scaled(t)} {
		all := templates(objects)
		require.Contains(t, all, "order")
		for name, pod := range all {
			t.Run(overlay+"/"+name, func(t *testing.T) { check(t, objects, name, pod) })
		}
	}
}

// This is the level "restricted" of the pod security standards, and more.
func TestContainersCanDoNothingButRun(t *testing.T) {
	t.Parallel()
	eachPod(t, func(t *testing.T, _ []manifests.Object, _ string, pod corev1.PodTemplateSpec) {
		s := pod.Spec.SecurityContext
		require.True(t, *s.RunAsNonRoot)
		require.Positive(t, *s.RunAsUser)
		require.Equal(t, corev1.SeccompProfileTypeRuntimeDefault, s.SeccompProfile.Type)
		require.False(t, pod.Spec.HostNetwork || pod.Spec.HostPID || pod.Spec.HostIPC)
		require.Empty(t, pod.Spec.InitContainers)
		require.Len(t, pod.Spec.Containers, 1)
		c := pod.Spec.Containers[0].SecurityContext
		require.True(t, *c.ReadOnlyRootFilesystem)
		require.False(t, *c.AllowPrivilegeEscalation)
		require.Equal(t, []corev1.Capability{"ALL"}, c.Capabilities.Drop)
		require.Empty(t, c.Capabilities.Add)
	})
}

func TestContainersSayWhatTheyNeed(t *testing.T) {
	t.Parallel()
	eachPod(t, func(t *testing.T, _ []manifests.Object, _ string, pod corev1.PodTemplateSpec) {
		r := pod.Spec.Containers[0].Resources
		require.Positive(t, r.Requests.Cpu().MilliValue())
		require.Positive(t, r.Requests.Memory().Value())
		require.GreaterOrEqual(t, r.Limits.Memory().Value(), r.Requests.Memory().Value())
		require.True(t, r.Limits.Cpu().IsZero(), "a limit of the CPU stops the process while others idle, and leaders lose their lease")
		for _, e := range pod.Spec.Containers[0].Env {
			if e.Name == "GOMEMLIMIT" {
				checkMemory(t, e.Value, r.Limits.Memory())
			}
		}
	})
}

// checkMemory fails unless Go's limit is some nine tenths of the container's.
func checkMemory(t *testing.T, goLimit string, limit *resource.Quantity) {
	t.Helper()
	q, err := resource.ParseQuantity(strings.TrimSuffix(goLimit, "B"))
	require.NoError(t, err)
	require.InDelta(t, 0.9, q.AsApproximateFloat64()/limit.AsApproximateFloat64(), 0.03)
}

// gracePeriod is how long a server of package aegis waits for its handlers by default.
const gracePeriod = 30 * time.Second

func TestGracePeriodLastsForTheDrain(t *testing.T) {
	t.Parallel()
	for _, objects := range [][]manifests.Object{build(t, base), build(t, development), build(t, production), scaled(t)} {
		pod := named[*appsv1.Deployment](t, objects, "order").Spec.Template.Spec
		preStop := time.Duration(pod.Containers[0].Lifecycle.PreStop.Sleep.Seconds) * time.Second
		require.Positive(t, preStop)
		require.GreaterOrEqual(t, time.Duration(*pod.TerminationGracePeriodSeconds)*time.Second, preStop+gracePeriod+10*time.Second)
	}
}

// ports returns the ports of a pod by their names.
func ports(pod corev1.PodTemplateSpec) map[string]int32 {
	found := map[string]int32{}
	for _, p := range pod.Spec.Containers[0].Ports {
		found[p.Name] = p.ContainerPort
	}
	return found
}

// checkPort fails unless a pod has a port, by its name or its number.
func checkPort(t *testing.T, pod corev1.PodTemplateSpec, port intstr.IntOrString) {
	t.Helper()
	if port.Type == intstr.String {
		require.Contains(t, ports(pod), port.StrVal)
		return
	}
	require.Contains(t, slices.Collect(maps.Values(ports(pod))), port.IntVal)
}

func TestProbesAskPortsThatAreThere(t *testing.T) {
	t.Parallel()
	eachPod(t, func(t *testing.T, _ []manifests.Object, _ string, pod corev1.PodTemplateSpec) {
		c := pod.Spec.Containers[0]
		for _, p := range []*corev1.Probe{c.ReadinessProbe, c.LivenessProbe} {
			require.NotNil(t, p)
			checkPort(t, pod, p.HTTPGet.Port)
		}
		require.NotEqual(t, c.ReadinessProbe.HTTPGet.Path, c.LivenessProbe.HTTPGet.Path, "that NATS is away is no reason to restart")
	})
}

func TestVolumesAreThere(t *testing.T) {
	t.Parallel()
	eachPod(t, func(t *testing.T, objects []manifests.Object, name string, pod corev1.PodTemplateSpec) {
		has := map[string]bool{}
		for _, v := range pod.Spec.Volumes {
			has[v.Name] = true
			if v.ConfigMap != nil {
				named[*corev1.ConfigMap](t, objects, v.ConfigMap.Name)
			}
			if v.Secret != nil {
				require.NotEmpty(t, v.Secret.Items, "all of a Secret is mounted")
			}
		}
		if s := of[*appsv1.StatefulSet](objects); name == "nats" {
			has[s[0].Spec.VolumeClaimTemplates[0].Name] = true
		}
		for _, m := range pod.Spec.Containers[0].VolumeMounts {
			require.True(t, has[m.Name], m.Name)
			require.Equal(t, path.Clean(m.MountPath), m.MountPath)
		}
	})
}

// selects tells whether a selector selects a pod. One that selects everything is an error.
func selects(t *testing.T, s *metav1.LabelSelector, pod corev1.PodTemplateSpec) bool {
	t.Helper()
	selector, err := metav1.LabelSelectorAsSelector(s)
	require.NoError(t, err)
	require.False(t, selector.Empty(), "everything is selected")
	return selector.Matches(labels.Set(pod.Labels))
}

func TestSelectorsSelectTheirPods(t *testing.T) {
	t.Parallel()
	eachPod(t, func(t *testing.T, objects []manifests.Object, name string, pod corev1.PodTemplateSpec) {
		only := func(s *metav1.LabelSelector) {
			t.Helper()
			for other, p := range templates(objects) {
				require.Equal(t, name == other, selects(t, s, p), other)
			}
		}
		if name == "nats" {
			only(of[*appsv1.StatefulSet](objects)[0].Spec.Selector)
		} else {
			only(named[*appsv1.Deployment](t, objects, name).Spec.Selector)
			only(&named[*networkingv1.NetworkPolicy](t, objects, name).Spec.PodSelector)
		}
		for _, c := range pod.Spec.TopologySpreadConstraints {
			only(c.LabelSelector)
			require.Equal(t, corev1.ScheduleAnyway, c.WhenUnsatisfiable, "a node that is drained would leave a pod without a place")
		}
		for _, s := range of[*corev1.Service](objects) {
			if s.Name == name {
				only(&metav1.LabelSelector{MatchLabels: s.Spec.Selector})
				for _, p := range s.Spec.Ports {
					checkPort(t, pod, p.TargetPort)
				}
			}
		}
		for _, m := range of[*monitoringv1.PodMonitor](objects) {
			if m.Name == name {
				only(&m.Spec.Selector)
				checkPort(t, pod, intstr.FromString(*m.Spec.PodMetricsEndpoints[0].Port))
			}
		}
	})
	budget := named[*policyv1.PodDisruptionBudget](t, build(t, production), "order").Spec
	require.Equal(t, 1, budget.MaxUnavailable.IntValue())
	require.True(t, selects(t, budget.Selector, templates(build(t, production))["order"]))
	require.False(t, selects(t, budget.Selector, templates(build(t, production))["monitor"]))
}

func TestNATSCanBeReached(t *testing.T) {
	t.Parallel()
	nats := templates(build(t, development))["nats"]
	for _, objects := range [][]manifests.Object{build(t, development), build(t, production), scaled(t)} {
		for _, policy := range of[*networkingv1.NetworkPolicy](objects) {
			require.Len(t, policy.Spec.PolicyTypes, 2)
			pod := templates(objects)[policy.Name]
			for _, in := range policy.Spec.Ingress {
				require.NotEmpty(t, in.From)
				for _, p := range in.Ports {
					checkPort(t, pod, *p.Port)
				}
			}
			to := policy.Spec.Egress[0]
			require.True(t, selects(t, to.To[0].PodSelector, nats))
			require.EqualValues(t, ports(nats)["nats"], to.Ports[0].Port.IntVal)
			require.Equal(t, map[string]string{"k8s-app": "kube-dns"}, policy.Spec.Egress[1].To[0].PodSelector.MatchLabels)
		}
	}
}
