package natschart

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/yaml"
)

// Certificate is the one of NATS that cert-manager is asked for.
type Certificate struct {
	SecretName string   `json:"secretName"`
	DNSNames   []string `json:"dnsNames"`
	Usages     []string `json:"usages"`
}

// ReadCertificate reads certificates.yaml in a directory. The error says where values use another
// Secret than that of the certificate, or need what it may not be used for.
func ReadCertificate(dir string, v *Values) (*Certificate, error) {
	text, err := os.ReadFile(filepath.Join(dir, "certificates.yaml"))
	if err != nil {
		return nil, err
	}
	for one := range strings.SplitSeq(string(text), "\n---\n") {
		var object struct {
			Metadata struct{ Name string }
			Spec     Certificate
		}
		if err := yaml.Unmarshal([]byte(one), &object); err != nil {
			return nil, fmt.Errorf("certificates.yaml: %w", err)
		}
		if object.Metadata.Name == "nats-tls" {
			return &object.Spec, object.Spec.check(v)
		}
	}
	return nil, errors.New("certificates.yaml has no nats-tls")
}

func (c *Certificate) check(v *Values) error {
	for name, tls := range map[string]TLS{"nats": v.Config.NATS.TLS, "cluster": v.Config.Cluster.TLS, "tlsCA": v.TLSCA} {
		if !tls.Enabled || tls.SecretName != c.SecretName {
			return fmt.Errorf("values.yaml: TLS of %s is not that of the Secret %s", name, c.SecretName)
		}
	}
	for _, usage := range []string{"server auth", "client auth"} {
		if !slices.Contains(c.Usages, usage) {
			return fmt.Errorf("certificates.yaml: the certificate is not for %s", usage)
		}
	}
	return nil
}

// Issue makes the certificate and its authority, as cert-manager would, and returns them as the data of
// a Secret. It is one for 127.0.0.1, too.
func (c *Certificate) Issue() (map[string][]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	until := time.Now().Add(time.Hour)
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "nats-ca"}, NotAfter: until,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotAfter: until, DNSNames: c.DNSNames, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	data := map[string][]byte{}
	for name, of := range map[string]*x509.Certificate{"ca.crt": ca, "tls.crt": leaf} {
		der, err := x509.CreateCertificate(rand.Reader, of, ca, &key.PublicKey, key)
		if err != nil {
			return nil, err
		}
		data[name] = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	}
	der, err := x509.MarshalECPrivateKey(key)
	data["tls.key"] = pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
	return data, err
}
