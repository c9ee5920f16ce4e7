package monitorhttp_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/monitorhttp"
)

// writeCertificate writes a certificate of its own for 127.0.0.1, and its key.
func writeCertificate(t *testing.T, dir string, serial int64) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	require.NoError(t, err)
	bytes, err := x509.MarshalECPrivateKey(private)
	require.NoError(t, err)
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	require.NoError(t, os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	require.NoError(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: bytes}), 0o600))
	// A clock of coarse steps must not hide that the files are others.
	at := time.Now().Add(time.Duration(serial) * time.Minute)
	require.NoError(t, os.Chtimes(cert, at, at))
	require.NoError(t, os.Chtimes(key, at, at))
	return cert, key
}

// serialAt returns the serial number of the certificate that a server shows.
func serialAt(t *testing.T, address string) int64 {
	t.Helper()
	conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true})
	require.NoError(t, err)
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
}

func TestCertificateIsReadAnewWhenItChanges(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := writeCertificate(t, dir, 1)
	var log bytes.Buffer
	c, err := monitorhttp.LoadCertificate(cert, key, slog.New(slog.NewTextHandler(&log, nil)))
	require.NoError(t, err)
	url, end := serve(t, monitorhttp.Options{Monitor: newStreams(), Certificate: c})
	address := strings.Trim(strings.TrimPrefix(url, "https:"), "/")
	assert.Equal(t, int64(1), serialAt(t, address))
	writeCertificate(t, dir, 2)
	assert.Equal(t, int64(2), serialAt(t, address))

	// While the key is another's the server goes on with what it has, and then takes the new one.
	good, err := os.ReadFile(key)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(key, []byte("none"), 0o600))
	assert.Equal(t, int64(2), serialAt(t, address))
	require.NoError(t, os.WriteFile(key, good, 0o600))
	assert.Equal(t, int64(2), serialAt(t, address))
	writeCertificate(t, dir, 3)
	assert.Equal(t, int64(3), serialAt(t, address))
	require.NoError(t, os.Remove(cert))
	assert.Equal(t, int64(3), serialAt(t, address))
	assert.Equal(t, int64(3), serialAt(t, address))

	_, err = tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11})
	require.ErrorContains(t, err, "protocol version")
	end()
	assert.Equal(t, 2, strings.Count(log.String(), "goes on with the certificate"), "each problem is told once: %s", &log)
}

func TestCertificateThatCannotBeUsedIsRefused(t *testing.T) {
	t.Parallel()
	logger := slog.New(slog.DiscardHandler)
	cert, key := writeCertificate(t, t.TempDir(), 1)
	_, other := writeCertificate(t, t.TempDir(), 2)
	for _, c := range []struct{ cert, key, want string }{
		{cert, key + ".no", "the key of the certificate"},
		{cert + ".no", key, "the certificate: "},
		{cert, other, "private key does not match public key"},
		{key, cert, cert},
	} {
		_, err := monitorhttp.LoadCertificate(c.cert, c.key, logger)
		assert.ErrorContains(t, err, c.want)
	}
}
