package aegisenv_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/runtime/aegisenv"
)

// authority signs certificates.
type authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{dir: t.TempDir()}
	a.file, _ = a.issue(t, "ca")
	return a
}

// issue makes a certificate for 127.0.0.1 and returns the files of it and of its key. The
// first one is that of the authority itself.
func (a *authority) issue(t *testing.T, name string) (cert, key string) {
	t.Helper()
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if a.cert == nil {
		template.IsCA, template.KeyUsage = true, x509.KeyUsageCertSign
		a.cert, a.key = template, own
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &own.PublicKey, a.key)
	require.NoError(t, err)
	secret, err := x509.MarshalECPrivateKey(own)
	require.NoError(t, err)
	cert = write(t, filepath.Join(a.dir, name+".pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	key = write(t, filepath.Join(a.dir, name+".key"), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: secret}))
	return cert, key
}

// serve runs a NATS server with TLS.
func (a *authority) serve(t *testing.T, more string) (url string) {
	t.Helper()
	cert, key := a.issue(t, "server")
	return serveNATS(t, `tls { cert_file: "`+cert+`", key_file: "`+key+`", ca_file: "`+a.file+`", `+more+` }`)
}

func TestServersCertificateIsVerified(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	environment(t, map[string]string{"NATS_URL": a.serve(t, ""), "NATS_CA": a.file})
	conn := connects(t, aegisenv.Settings{})
	state, err := conn.NATS().TLSConnectionState()
	require.NoError(t, err)
	assert.Equal(t, "server", state.PeerCertificates[0].Subject.CommonName)

	text := refused(t, aegisenv.Settings{TLSCA: other.file})
	assert.Contains(t, text, "authorities: Settings.TLSCA")
	assert.Contains(t, text, "these authorities do not vouch for the server's certificate")
	t.Setenv("NATS_CA", "")
	text = refused(t, aegisenv.Settings{})
	assert.Contains(t, text, "set NATS_CA")
	assert.Contains(t, text, "x509:")
}

func TestServerMayWantTheClientsCertificate(t *testing.T) {
	a := newAuthority(t)
	cert, key := a.issue(t, "client")
	url := a.serve(t, "verify: true")
	config := environment(t, map[string]string{"NATS_URL": url, "NATS_CA": a.file, "NATS_CERT": cert, "NATS_KEY": key})
	connects(t, aegisenv.Settings{})
	t.Setenv("NATS_CERT", "")
	t.Setenv("NATS_KEY", "")
	assert.Contains(t, refused(t, aegisenv.Settings{}), "set NATS_CERT and NATS_KEY")
	other := newAuthority(t)
	strange, strangeKey := other.issue(t, "client")
	assert.Contains(t, refused(t, aegisenv.Settings{TLSCert: strange, TLSKey: strangeKey}), "NATS refuses this certificate of the client")

	t.Setenv("HOME_OF_KEYS", a.dir)
	writeContext(t, config, "mutual", map[string]any{"url": url, "ca": a.file, "cert": "$HOME_OF_KEYS/client.pem", "key": "${HOME_OF_KEYS}/client.key"})
	connects(t, aegisenv.Settings{Context: "mutual"})
}

func TestHandshakeMayComeFirst(t *testing.T) {
	a := newAuthority(t)
	url := a.serve(t, "handshake_first: true")
	config := environment(t, nil)
	writeContext(t, config, "first", map[string]any{"url": url, "ca": a.file, "tls_first": true})
	connects(t, aegisenv.Settings{Context: "first"})
	connects(t, aegisenv.Settings{URL: url, TLSCA: a.file, TLSFirst: true})
}

func TestFilesOfTLSAreToldWithTheirPlace(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	cert, key := a.issue(t, "client")
	_, strange := other.issue(t, "client")
	environment(t, nil)
	for text, s := range map[string]aegisenv.Settings{
		"Settings.TLSCA: the certificates of authorities: the file /no/such cannot be read: no such file or directory": {TLSCA: "/no/such"},
		"Settings.TLSCA: there is no certificate in " + key:                                                            {TLSCA: key},
		"Settings.TLSCert: the client's certificate: the file /no/such":                                                {TLSCert: "/no/such", TLSKey: key},
		"Settings.TLSKey: the key of the client's certificate: the file /no/such":                                      {TLSCert: cert, TLSKey: "/no/such"},
		"Settings.TLSCert and Settings.TLSKey: the client's certificate and its key: tls: private key does not match":  {TLSCert: cert, TLSKey: strange},
	} {
		assert.Contains(t, refused(t, s), text)
	}
	text := refused(t, aegisenv.Settings{URL: serveNATS(t, ""), TLSCA: a.file})
	assert.Contains(t, text, "the settings want TLS, which this server does not have")
	assert.True(t, strings.HasPrefix(text, "aegis: connect to NATS at nats://127.0.0.1:"), text)
}
