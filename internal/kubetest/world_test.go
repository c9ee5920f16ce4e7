package kubetest_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	echov1 "github.com/aegisrpc/aegis/examples/echo/gen/echo/v1"
	"github.com/aegisrpc/aegis/examples/echo/gen/echo/v1/echov1aegis"
	"github.com/aegisrpc/aegis/internal/embednats"
	"github.com/aegisrpc/aegis/internal/kubetest/apiserver"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegiskube"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

// world is a cluster with a service of NATS in the namespace shop, and a user.
type world struct {
	*apiserver.Server
	t          *testing.T
	kubeconfig string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{Server: apiserver.Start(), t: t, kubeconfig: filepath.Join(t.TempDir(), "config")}
	t.Cleanup(w.Close)
	w.PutUser("secret", &apiserver.User{Name: "anna"})
	text, err := w.Kubeconfig("secret", "shop")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(w.kubeconfig, text, 0o600))
	w.PutService(&corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "nats", Labels: map[string]string{"app.kubernetes.io/name": "nats"}},
		Spec:       corev1.ServiceSpec{ClusterIP: "10.0.0.1", Ports: []corev1.ServicePort{{Name: "nats", Port: 4222}}},
	})
	return w
}

// pods are those that the service has, each with its address within the cluster.
func (w *world) pods(names ...string) {
	port, name := int32(4222), "nats"
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: "shop", Name: "nats-x", Labels: map[string]string{discoveryv1.LabelServiceName: "nats"}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Name: &name, Port: &port}},
	}
	for i, pod := range names {
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{
			Addresses: []string{"10.1.0." + strconv.Itoa(i+1)}, TargetRef: &corev1.ObjectReference{Kind: "Pod", Name: pod, Namespace: "shop"},
		})
	}
	w.PutSlice(slice)
}

// nats runs a NATS server behind a pod, with an instance of the echo service in the cluster.
func (w *world) nats(pod string) *embednats.Server {
	w.t.Helper()
	return w.natsWith(pod, embednats.Options{})
}

func (w *world) natsWith(pod string, o embednats.Options) *embednats.Server {
	w.t.Helper()
	s, err := embednats.Start(o)
	require.NoError(w.t, err)
	w.t.Cleanup(s.Stop)
	w.PutPod("shop", pod, s.Addr().String())
	conn, err := aegis.Connect(w.t.Context(), s.ClientURL(), aegis.WithLogger(silent()))
	require.NoError(w.t, err)
	w.t.Cleanup(func() { _ = conn.Close(context.Background()) })
	aegistest.Serve(w.t, conn, func(srv *aegis.Server) error { return echov1aegis.RegisterEchoServiceServer(srv, echo{}) })
	return s
}

// echo is the service in the cluster.
type echo struct {
	echov1aegis.UnimplementedEchoServiceServer
}

func (echo) Echo(_ context.Context, req *echov1.EchoRequest) (*echov1.EchoResponse, error) {
	return &echov1.EchoResponse{Text: req.GetText()}, nil
}

func silent() *slog.Logger { return slog.New(slog.DiscardHandler) }

func (w *world) settings() aegiskube.Settings {
	return aegiskube.Settings{Kubeconfig: w.kubeconfig, Logger: silent()}
}

// connect connects a developer's machine.
func (w *world) connect(s aegiskube.Settings) *aegis.Conn {
	w.t.Helper()
	conn, err := aegiskube.Connect(w.t.Context(), s, aegis.WithLogger(silent()))
	require.NoError(w.t, err)
	w.t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// call calls the service in the cluster.
func call(t *testing.T, conn *aegis.Conn) error {
	t.Helper()
	client, err := echov1aegis.NewEchoServiceClient(conn)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	res, err := client.Echo(ctx, &echov1.EchoRequest{Text: "hi"})
	if err == nil {
		require.Equal(t, "hi", res.GetText())
	}
	return err
}

// eventually waits until something is so.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	require.Eventually(t, is, 20*time.Second, time.Millisecond, what)
}
