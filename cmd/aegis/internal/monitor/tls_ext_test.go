package monitor_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/embednats"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

// startSecured starts a NATS server that asks for a password, and returns its URL.
func startSecured(t *testing.T) (url string) {
	t.Helper()
	server, err := embednats.Start(embednats.Options{Config: write(t, "nats.conf", `authorization { user: ops, password: "right" }`)})
	require.NoError(t, err)
	t.Cleanup(server.Stop)
	return server.ClientURL()
}

func portOf(addr net.Addr) int {
	tcp, _ := addr.(*net.TCPAddr)
	return tcp.Port
}

// newCertificate writes a certificate for 127.0.0.1 and its key, and returns a client that trusts it.
func newCertificate(t *testing.T) (cert, key string, client *http.Client) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	require.NoError(t, err)
	secret, err := x509.MarshalECPrivateKey(private)
	require.NoError(t, err)
	public := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	require.NoError(t, os.WriteFile(cert, public, 0o600))
	require.NoError(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: secret}), 0o600))
	pool := x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM(public))
	return cert, key, &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: pool},
	}}
}

func TestMonitorHasTLS(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	cert, key, client := newCertificate(t)
	p, url := start(t, []string{"NATS_URL=" + n.URL()}, "--tls-cert", cert, "--tls-key", key, "--token-file", write(t, "token", "s3cr3t"))
	require.True(t, strings.HasPrefix(url, "https://"), url)
	a := ask(t, client, url+"api/v1/overview", func(r *http.Request) { r.Header.Set("Authorization", "Bearer s3cr3t") })
	assert.Equal(t, http.StatusOK, a.status, a.body)
	a = ask(t, client, url+"api/v1/overview", unchanged)
	assert.Equal(t, http.StatusUnauthorized, a.status)
	stop(t, p)
}
