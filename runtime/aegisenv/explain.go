package aegisenv

import (
	"crypto/tls"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"

	aegis "github.com/aegisrpc/aegis/runtime"
)

// explain adds to the error of an attempt to connect which settings it was made with,
// where they came from, and what to do.
func (s *Settings) explain(err error) error {
	if errors.Is(err, aegis.ErrInvalidOption) {
		return err // an option of the caller's own
	}
	text := s.used()
	if hint := s.hint(err); hint != "" {
		text += "; " + hint
	}
	return fmt.Errorf("%w (%s)", err, text)
}

// used lists the settings of the connection that are set, by where they came from.
func (s *Settings) used() string {
	texts := []struct{ key, text string }{
		{keyURL, "server"},
		{keyUser, "user"},
		{keyPassword, "password"},
		{keyToken, "token"},
		{keyCreds, "credentials"},
		{keyNKey, "nkey"},
		{keyJWT, "JWT"},
		{keySeed, "seed"},
		{keyCert, "certificate"},
		{keyKey, "its key"},
		{keyCA, "authorities"},
		{keyProxy, "proxy"},
	}
	var parts []string
	for _, each := range texts {
		if *s.at(each.key) != "" {
			parts = append(parts, each.text+": "+s.source(each.key))
		}
	}
	return strings.Join(parts, ", ")
}

// hint says what to do about an error of an attempt to connect; "" is nothing in
// particular.
func (s *Settings) hint(err error) string {
	_, untrusted := errors.AsType[*tls.CertificateVerificationError](err)
	switch {
	case errors.Is(err, nats.ErrAuthorization) && s.anonymous() && s.origin.ignored != "":
		return fmt.Sprintf("the NATS context %q is selected, but not used as a server is named; name the context as well", s.origin.ignored)
	case errors.Is(err, nats.ErrAuthorization) && s.anonymous():
		return "NATS wants a user, and there is none; set NATS_CREDS, NATS_USER and NATS_PASSWORD, NATS_NKEY or NATS_TOKEN, or name a NATS context"
	case errors.Is(err, nats.ErrAuthorization):
		return "NATS refuses this user; check these values, and that the server is the one that they are for"
	case untrusted && s.TLSCA == "":
		return "the authorities of the system do not vouch for the server's certificate; set NATS_CA to the file of the one that does, " +
			"and use a host name that the certificate has"
	case untrusted:
		return "these authorities do not vouch for the server's certificate, or not for this host name"
	case refusedCertificate(err) && s.TLSCert == "":
		return "NATS wants a certificate of the client; set NATS_CERT and NATS_KEY"
	case refusedCertificate(err):
		return "NATS refuses this certificate of the client"
	case errors.Is(err, nats.ErrSecureConnWanted):
		return "the settings want TLS, which this server does not have"
	}
	return ""
}

// refusedCertificate tells whether the server has closed the connection over the client's
// certificate. It says so only after the handshake, for TLS 1.3, and the client may find
// the connection closed before it reads that.
func refusedCertificate(err error) bool {
	text := err.Error()
	return strings.Contains(text, "remote error: tls: ") || strings.Contains(text, "connection closed by remote after TLS handshake")
}

// anonymous tells whether the program does not say who it is.
func (s *Settings) anonymous() bool {
	return s.User == "" && s.Token == "" && s.Creds == "" && s.NKey == "" && s.JWT == "" && !hasUser(s.URL)
}
