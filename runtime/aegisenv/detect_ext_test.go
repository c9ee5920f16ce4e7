package aegisenv_test

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/examples/echo/gen/echo/v1/echov1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisenv"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

// detect finds out where the program runs that has these variables and no others.
func detect(t *testing.T, variables map[string]string) (aegisenv.Environment, error) {
	t.Helper()
	environment(t, variables)
	return aegisenv.Detect()
}

// podInfo returns a folder with the file of a pod's labels.
func podInfo(t *testing.T, labels string) string {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "labels"), []byte(labels))
	return dir
}

func TestOutsideAClusterLittleIsKnown(t *testing.T) {
	e, err := detect(t, nil)
	require.NoError(t, err)
	e.Build = "" // that of the test
	assert.Equal(t, aegisenv.Environment{Kind: aegisenv.Local}, e)
	assert.Equal(t, "kind=local", e.String())
}

func TestAPodIsDescribedByTheDownwardAPI(t *testing.T) {
	e, err := detect(t, map[string]string{
		"KUBERNETES_SERVICE_HOST": "10.0.0.1", "POD_NAME": "order-7d4b-x2x9k", "POD_NAMESPACE": "shop", "NODE_NAME": "node-7",
		"AEGIS_BUILD": "v1.4.0", "AEGIS_LABELS": "tier=gold, team = orders", "AEGIS_REPLICAS": "3",
		"AEGIS_PODINFO": podInfo(t, "app=\"order\"\ntier=\"silver\"\npod-template-hash=\"7d4b\"\ntopology.kubernetes.io/zone=\"eu-1a\"\nsaid=\"it is \\\"so\\\"\"\n"),
	})
	require.NoError(t, err)
	assert.Equal(t, aegisenv.Environment{
		Kind: aegisenv.Kubernetes, Build: "v1.4.0", Node: "node-7", Zone: "eu-1a", Namespace: "shop", Pod: "order-7d4b-x2x9k",
		Labels:   map[string]string{"app": "order", "tier": "gold", "team": "orders", "said": `it is "so"`},
		Replicas: 3,
	}, e)
	assert.Equal(t, `kind=kubernetes build=v1.4.0 node=node-7 zone=eu-1a namespace=shop pod=order-7d4b-x2x9k labels=app=order,said=it is "so",team=orders,tier=gold replicas=3`, e.String())
}

func TestTheVariableSaysWhetherItIsACluster(t *testing.T) {
	e, err := detect(t, map[string]string{"KUBERNETES_SERVICE_HOST": "10.0.0.1", "AEGIS_ENVIRONMENT": "local", "NODE_NAME": "node-7"})
	require.NoError(t, err)
	assert.Equal(t, aegisenv.Local, e.Kind)
	assert.Empty(t, e.Node)
	e, err = detect(t, map[string]string{"AEGIS_ENVIRONMENT": "kubernetes"})
	require.NoError(t, err)
	host, err := os.Hostname()
	require.NoError(t, err)
	assert.Equal(t, host, e.Pod, "the name of a pod is that of its host")
}

func TestAttributesOfOpenTelemetryCountWhereNothingElseSays(t *testing.T) {
	attributes := "service.version=2.0,k8s.node.name=node-9,cloud.availability_zone=eu-1b,nonsense"
	e, err := detect(t, map[string]string{"OTEL_RESOURCE_ATTRIBUTES": attributes})
	require.NoError(t, err)
	assert.Equal(t, []string{"2.0", "node-9", "eu-1b"}, []string{e.Build, e.Node, e.Zone})
	e, err = detect(t, map[string]string{
		"OTEL_RESOURCE_ATTRIBUTES": attributes, "AEGIS_BUILD": "3.0", "AEGIS_NODE": "node-1", "AEGIS_ZONE": "eu-1a",
	})
	require.NoError(t, err)
	assert.Equal(t, []string{"3.0", "node-1", "eu-1a"}, []string{e.Build, e.Node, e.Zone})
}

func TestEnvironmentsThatCannotBeUsed(t *testing.T) {
	for name, is := range map[string]struct {
		variables map[string]string
		says      string
	}{
		"kind":     {map[string]string{"AEGIS_ENVIRONMENT": "cloud"}, `AEGIS_ENVIRONMENT: "cloud" is no environment; use kubernetes or local`},
		"labels":   {map[string]string{"AEGIS_LABELS": "a=b,c"}, `AEGIS_LABELS: "c" has not the form KEY=VALUE`},
		"key":      {map[string]string{"AEGIS_LABELS": "=b"}, `AEGIS_LABELS: "=b" has not the form KEY=VALUE`},
		"replicas": {map[string]string{"AEGIS_REPLICAS": "2"}, `AEGIS_REPLICAS: "2" is no number of replicas; use 1, 3 or 5`},
		"reserved": {map[string]string{"AEGIS_RESERVED": "maybe"}, `AEGIS_RESERVED: "maybe" is neither true nor false`},
		"pod": {
			map[string]string{"AEGIS_ENVIRONMENT": "kubernetes", "AEGIS_PODINFO": podInfo(t, "app=order\n")},
			`"app=order" has not the form KEY="VALUE"`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := detect(t, is.variables)
			require.ErrorIs(t, err, aegisenv.ErrInvalid)
			require.ErrorContains(t, err, is.says)
			_, err = aegisenv.Connect(deadline(t))
			require.ErrorIs(t, err, aegisenv.ErrInvalid)
		})
	}
	environment(t, map[string]string{"NATS_URL": serveNATS(t, ""), "AEGIS_ZONE": strings.Repeat("x", 300)})
	_, err := aegisenv.Connect(deadline(t))
	require.ErrorIs(t, err, aegis.ErrInvalidOption)
	require.ErrorContains(t, err, "zone")
}

func TestConnectLogsAndRegistersWhereTheProgramRuns(t *testing.T) {
	environment(t, map[string]string{
		"NATS_URL": serveNATS(t, ""), "AEGIS_INSTANCE": "anna-1", "AEGIS_BUILD": "v1", "AEGIS_ZONE": "eu-1a", "AEGIS_NODE": "laptop",
		"AEGIS_LABELS": "developer=anna", "AEGIS_RESERVED": "1",
	})
	var log bytes.Buffer
	conn, err := aegisenv.Connect(deadline(t), aegis.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	line, _, _ := strings.Cut(log.String(), "\n")
	assert.Contains(t, line, "environment.kind=local environment.instance=anna-1 environment.build=v1 environment.node=laptop "+
		"environment.zone=eu-1a environment.labels=\"developer=anna\" environment.reserved=true")
	aegistest.Serve(t, conn, func(srv *aegis.Server) error {
		return echov1aegis.RegisterEchoServiceServer(srv, echov1aegis.UnimplementedEchoServiceServer{}, aegis.WithUnimplemented())
	}, aegis.WithLogger(slog.New(slog.DiscardHandler)))
	instances, err := conn.Instances(deadline(t), echov1aegis.EchoServiceName)
	require.NoError(t, err)
	require.Len(t, instances, 1)
	i := instances[0]
	assert.Equal(t, []string{"anna-1", "v1", "eu-1a", "laptop"}, []string{i.Name, i.Build, i.Zone, i.Node})
	assert.Equal(t, map[string]string{"developer": "anna"}, i.Labels)
	assert.True(t, i.Reserved)
}
