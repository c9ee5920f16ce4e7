// Package keda_test has KEDA's own client of external scalers talk to `aegis monitor
// --keda-listen`, a process of its own: KEDA's generated code and that of package aegiskeda
// register the same names, and cannot be in one process.
package keda_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/kedacore/keda/v2/pkg/scalers/externalscaler"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	orderv1 "github.com/aegisrpc/aegis/examples/order/gen/order/v1"
	"github.com/aegisrpc/aegis/examples/order/gen/order/v1/orderv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

const patience = 60 * time.Second

// built is the command aegis.
var built = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "aegis")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "aegis")
	build := exec.Command("go", "build", "-o", path, "./cmd/aegis")
	build.Dir, build.Stderr = "../../..", os.Stderr
	return path, build.Run()
})

func TestMain(m *testing.M) {
	path, err := built() // before the time of a test counts
	if err != nil {
		panic(err)
	}
	code := m.Run()
	_ = os.RemoveAll(filepath.Dir(path))
	os.Exit(code)
}

// monitor starts a monitor of a NATS server, and returns the address for KEDA.
func monitor(t *testing.T, nats string, flags ...string) (address string) {
	t.Helper()
	path, err := built()
	require.NoError(t, err)
	cmd := exec.Command(path, append([]string{"monitor", "--listen", "127.0.0.1:0", "--keda-listen", "127.0.0.1:0"}, flags...)...)
	cmd.Env, cmd.Stderr = append(os.Environ(), "NATS_URL="+nats), os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		assert.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
		_ = cmd.Wait()
	})
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), "KEDA reaches it at "); ok {
			return strings.TrimSuffix(rest, ".")
		}
	}
	t.Fatal("the monitor does not say where KEDA reaches it")
	return ""
}

// client connects as KEDA does, and with pings that grpc-go's own server would not stand.
func client(t *testing.T, address string, c credentials.TransportCredentials) externalscaler.ExternalScalerClient {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(c),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig": [{"round_robin":{}}]}`),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 5 * time.Second, PermitWithoutStream: true}))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return externalscaler.NewExternalScalerClient(conn)
}

func ref(metadata map[string]string) *externalscaler.ScaledObjectRef {
	return &externalscaler.ScaledObjectRef{Name: "order", Namespace: "default", ScalerMetadata: metadata}
}

func waiting() *externalscaler.ScaledObjectRef {
	return ref(map[string]string{
		"scalerAddress": "aegis-monitor:9090", "service": orderv1aegis.OrderServiceName, "method": "ReconcileBook", "metric": "waiting", "target": "2.5",
	})
}

func send(t *testing.T, conn *aegis.Conn) {
	t.Helper()
	orders, err := orderv1aegis.NewOrderServiceClient(conn)
	require.NoError(t, err)
	_, err = orders.ReconcileBook(t.Context(), &orderv1.ReconcileBookRequest{})
	require.NoError(t, err)
}

func TestKEDAsClient(t *testing.T) {
	n := aegistest.StartNATS(t)
	conn := n.Connect(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	keda := client(t, monitor(t, n.URL()), insecure.NewCredentials())

	spec, err := keda.GetMetricSpec(ctx, waiting())
	require.NoError(t, err)
	require.Len(t, spec.GetMetricSpecs(), 1)
	assert.Equal(t, "aegis-waiting", spec.GetMetricSpecs()[0].GetMetricName())
	assert.InDelta(t, 2.5, spec.GetMetricSpecs()[0].GetTargetSizeFloat(), 0)
	assert.Equal(t, int64(3), spec.GetMetricSpecs()[0].GetTargetSize())

	stream, err := keda.StreamIsActive(ctx, waiting())
	require.NoError(t, err)
	is, err := stream.Recv()
	require.NoError(t, err)
	require.False(t, is.GetResult())
	send(t, conn)
	sent := time.Now()
	is, err = stream.Recv()
	require.NoError(t, err)
	require.True(t, is.GetResult())
	t.Logf("KEDA knew of a command %v after it was stored", time.Since(sent))

	values, err := keda.GetMetrics(ctx, &externalscaler.GetMetricsRequest{ScaledObjectRef: waiting(), MetricName: "aegis-waiting"})
	require.NoError(t, err)
	require.Len(t, values.GetMetricValues(), 1)
	assert.InDelta(t, 1, values.GetMetricValues()[0].GetMetricValueFloat(), 0)
	assert.Equal(t, int64(1), values.GetMetricValues()[0].GetMetricValue())
	is, err = keda.IsActive(ctx, waiting())
	require.NoError(t, err)
	assert.True(t, is.GetResult())

	_, err = keda.IsActive(ctx, ref(map[string]string{"service": "order"}))
	assert.Equal(t, codes.InvalidArgument, status.Code(err), "%v", err)
	specs, err := keda.StreamMetricSpec(ctx, waiting())
	require.NoError(t, err)
	_, err = specs.Recv()
	assert.Equal(t, codes.Unimplemented, status.Code(err), "%v", err)

	// More streams than HTTP/2 servers allow on a connection by themselves.
	for range 400 {
		one, err := keda.StreamIsActive(ctx, waiting())
		require.NoError(t, err)
		is, err := one.Recv()
		require.NoError(t, err)
		require.True(t, is.GetResult())
	}
}

// Without NATS nothing is known, and the monitor serves.
func TestKEDAsClientWithoutNATS(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	nobody := "nats://" + l.Addr().String()
	require.NoError(t, l.Close())
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	keda := client(t, monitor(t, nobody), insecure.NewCredentials())
	_, err = keda.IsActive(ctx, waiting())
	assert.Equal(t, codes.Unavailable, status.Code(err), "%v", err)
	_, err = keda.GetMetricSpec(ctx, waiting())
	assert.NoError(t, err)
}

// KEDA shows its certificate, and checks that of the monitor.
func TestKEDAsClientWithTLS(t *testing.T) {
	n := aegistest.StartNATS(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cert, key, pair, pool := certificate(t)
	address := monitor(t, n.URL(), "--tls-cert", cert, "--tls-key", key, "--keda-client-ca", cert)
	keda := client(t, address, credentials.NewTLS(&tls.Config{RootCAs: pool, Certificates: []tls.Certificate{pair}}))
	is, err := keda.IsActive(ctx, waiting())
	require.NoError(t, err)
	assert.False(t, is.GetResult())
	for _, c := range []credentials.TransportCredentials{credentials.NewTLS(&tls.Config{RootCAs: pool}), insecure.NewCredentials()} {
		_, err = client(t, address, c).IsActive(ctx, waiting())
		assert.Equal(t, codes.Unavailable, status.Code(err), "%v", err)
	}
}

// certificate makes a certificate for 127.0.0.1 that is its own authority.
func certificate(t *testing.T) (cert, key string, pair tls.Certificate, pool *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	require.NoError(t, err)
	secret, err := x509.MarshalECPrivateKey(private)
	require.NoError(t, err)
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: secret})
	cert, key = filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	require.NoError(t, os.WriteFile(cert, certPEM, 0o600))
	require.NoError(t, os.WriteFile(key, keyPEM, 0o600))
	pair, err = tls.X509KeyPair(certPEM, keyPEM)
	require.NoError(t, err)
	pool = x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM(certPEM))
	return cert, key, pair, pool
}
