package manifests_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/armon/go-socks5"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/embednats"
)

// cluster is the NATS of a namespace, which programs find as nats:4222.
type cluster struct {
	servers []*embednats.Server
	secrets map[string]map[string][]byte
	proxy   string // its address; nothing else knows where nats is
}

// startProduction starts the three servers of values.yaml, with the certificate of certificates.yaml
// and passwords as its comment makes them.
func startProduction(t *testing.T) *cluster {
	t.Helper()
	v := readValues(t)
	c := &cluster{secrets: map[string]map[string][]byte{"monitor-token": {"token": []byte("t0ken")}}}
	for _, user := range []string{"order", "monitor", "admin"} {
		password := fmt.Sprintf("p%x", user+"-123")
		c.secrets["nats-"+user] = map[string][]byte{"username": []byte(user), "password": []byte(password)}
		t.Setenv(strings.ToUpper(user)+"_PASSWORD", password)
	}
	at := place{certificates: t.TempDir()}
	c.secrets["nats-tls"] = issue(t, natsCertificate(t), at.certificates)
	for range v.Config.Cluster.Replicas {
		l, err := embednats.Listen()
		require.NoError(t, err)
		at.routes = append(at.routes, l.Addr().(*net.TCPAddr).Port)
		require.NoError(t, l.Close())
	}
	for i, port := range at.routes {
		at.port, at.store = port, t.TempDir()
		c.start(t, v.conf(t, i, at))
	}
	require.Eventually(t, func() bool { return c.servers[0].JetStreamIsCurrent() }, time.Minute, 10*time.Millisecond)
	c.listen(t)
	return c
}

// startDevelopment starts the server of the overlay development.
func startDevelopment(t *testing.T, conf string) *cluster {
	t.Helper()
	c := &cluster{}
	c.start(t, strings.NewReplacer("/data", t.TempDir(), "http_port: 8222", "").Replace(conf))
	c.listen(t)
	return c
}

func (c *cluster) start(t *testing.T, conf string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "nats.conf")
	require.NoError(t, os.WriteFile(path, []byte(conf), 0o600))
	s, err := embednats.Start(embednats.Options{Config: path})
	require.NoError(t, err, conf)
	t.Cleanup(s.Stop)
	require.True(t, s.JetStreamConfig().SyncAlways)
	c.servers = append(c.servers, s)
}

// Resolve has the one name that there is in the namespace.
func (c *cluster) Resolve(ctx context.Context, name string) (context.Context, net.IP, error) {
	if name != "nats" {
		return ctx, nil, fmt.Errorf("no such host: %s", name)
	}
	return ctx, net.IPv4(127, 0, 0, 1), nil
}

// listen serves a proxy whose other end is in the namespace.
func (c *cluster) listen(t *testing.T) {
	t.Helper()
	proxy, err := socks5.New(&socks5.Config{
		Resolver: c,
		Logger:   log.New(io.Discard, "", 0),
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			if address != "127.0.0.1:4222" {
				return nil, fmt.Errorf("nothing listens on %s", address)
			}
			return new(net.Dialer).DialContext(ctx, network, c.servers[0].Addr().String())
		},
	})
	require.NoError(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() { _ = proxy.Serve(l) }() // until it is closed
	c.proxy = "socks5://" + l.Addr().String()
}

// issue makes a certificate and its authority, as cert-manager would, and returns them as the data of a Secret.
// It is one for 127.0.0.1, too, where the servers of a test are.
func issue(t *testing.T, c certificate, dir string) map[string][]byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "nats-ca"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotAfter: time.Now().Add(time.Hour), DNSNames: c.Spec.DNSNames, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &key.PublicKey, key)
	require.NoError(t, err)
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, ca, &key.PublicKey, key)
	require.NoError(t, err)
	keyDER, err := x509.MarshalECPrivateKey(key)
	require.NoError(t, err)
	data := map[string][]byte{
		"ca.crt":  pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER}),
		"tls.crt": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leafDER}),
		"tls.key": pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}),
	}
	for name, text := range data {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), text, 0o600))
	}
	return data
}

// The names that servers, programs and aegis --kube use.
func TestCertificateHasTheNamesOfNATS(t *testing.T) {
	t.Parallel()
	v := readValues(t)
	leaf := x509.Certificate{DNSNames: natsCertificate(t).Spec.DNSNames}
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
