package manifests_test

import (
	"encoding/json"
	"os/exec"
	"regexp"
	"testing"
	"time"

	"github.com/kedacore/keda/v2/pkg/scalers/externalscaler"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/aegisrpc/aegis/internal/kubetest/manifests"
)

// scaledObject is what is needed of KEDA's ScaledObject.
type scaledObject struct {
	Spec struct {
		ScaleTargetRef  struct{ Name string }
		MinReplicaCount int
		Fallback        struct{ Replicas int }
		Triggers        []struct {
			Type     string
			Metadata map[string]string
		}
	}
}

func readScaledObject(t *testing.T, objects []manifests.Object) (s scaledObject) {
	t.Helper()
	text, err := json.Marshal(named[*unstructured.Unstructured](t, objects, "order"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &s))
	require.Len(t, s.Spec.Triggers, 1)
	return s
}

func TestKEDAScalesTheServersAndNobodyElse(t *testing.T) {
	t.Parallel()
	objects := scaled(t)
	s := readScaledObject(t, objects).Spec
	require.Nil(t, named[*appsv1.Deployment](t, objects, s.ScaleTargetRef.Name).Spec.Replicas, "kubectl apply would set it back")
	require.NotNil(t, named[*appsv1.Deployment](t, objects, "monitor").Spec.Replicas)
	require.Positive(t, s.MinReplicaCount, "a service with a leader needs one")
	require.GreaterOrEqual(t, s.Fallback.Replicas, s.MinReplicaCount)
	require.Equal(t, "monitor.shop.svc:9090", s.Triggers[0].Metadata["scalerAddress"])
	require.EqualValues(t, 9090, ports(templates(objects)["monitor"])["keda"])
}

// checkScaler asks a monitor what KEDA would ask it.
func checkScaler(t *testing.T, objects []manifests.Object, address string) {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	defer conn.Close()
	scaler := externalscaler.NewExternalScalerClient(conn)
	ref := &externalscaler.ScaledObjectRef{Name: "order", Namespace: "shop", ScalerMetadata: readScaledObject(t, objects).Spec.Triggers[0].Metadata}
	specs, err := scaler.GetMetricSpec(t.Context(), ref)
	require.NoError(t, err)
	require.Len(t, specs.GetMetricSpecs(), 1)
	ask := &externalscaler.GetMetricsRequest{ScaledObjectRef: ref, MetricName: specs.GetMetricSpecs()[0].GetMetricName()}
	require.Eventually(t, func() bool {
		var answer *externalscaler.GetMetricsResponse
		answer, err = scaler.GetMetrics(t.Context(), ask)
		return err == nil && len(answer.GetMetricValues()) == 1 && answer.GetMetricValues()[0].GetMetricValueFloat() == 0
	}, 30*time.Second, 50*time.Millisecond)
	require.NoError(t, err)
}

// checkPermissions fails unless the user of the monitor may do what the command says that it has to.
func checkPermissions(t *testing.T, program string) {
	t.Helper()
	printed, err := exec.CommandContext(t.Context(), program, "doctor", "--role", "monitor", "--print-permissions").Output()
	require.NoError(t, err)
	v := readValues(t)
	text, err := json.Marshal(v.Config.Merge["accounts"])
	require.NoError(t, err)
	var accounts map[string]struct {
		Users []struct {
			User        string
			Permissions struct{ Publish, Subscribe []string }
		}
	}
	require.NoError(t, json.Unmarshal(text, &accounts))
	monitor := accounts["SHOP"].Users[1]
	require.Equal(t, "monitor", monitor.User)
	var want []string
	for _, m := range regexp.MustCompile(`(?m)^ *"(.*)"$`).FindAllSubmatch(printed, -1) {
		want = append(want, string(m[1]))
	}
	require.ElementsMatch(t, want, append(monitor.Permissions.Publish, monitor.Permissions.Subscribe...))
}
