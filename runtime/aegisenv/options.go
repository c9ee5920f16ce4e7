package aegisenv

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/url"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"golang.org/x/net/proxy"

	"github.com/aegisrpc/aegis/runtime/internal/dial"
)

// natsOptions returns the options for nats.go, having read each file once: what cannot be
// read or used is told here, with the place that named it.
func (s *Settings) natsOptions(ctx context.Context) ([]nats.Option, error) {
	var opts []nats.Option
	for _, of := range []func(context.Context) ([]nats.Option, error){s.userOptions, s.tlsOptions, s.wayOptions} {
		more, err := of(ctx)
		if err != nil {
			return nil, err
		}
		opts = append(opts, more...)
	}
	return opts, nil
}

// userOptions returns the options that authenticate.
func (s *Settings) userOptions(ctx context.Context) ([]nats.Option, error) {
	switch {
	case s.User != "":
		password, err := s.literal(ctx, keyPassword)
		return []nats.Option{nats.UserInfo(s.User, password)}, err
	case s.Token != "":
		token, err := s.literal(ctx, keyToken)
		return []nats.Option{nats.Token(token)}, err
	case s.Creds != "":
		opt, err := s.creds(ctx)
		return []nats.Option{opt}, err
	case s.NKey != "":
		opt, err := s.nkey(ctx)
		return []nats.Option{opt}, err
	case s.JWT != "":
		jwt, err := s.literal(ctx, keyJWT)
		if err != nil {
			return nil, err
		}
		seed, err := s.literal(ctx, keySeed)
		if err != nil {
			return nil, err
		}
		opt, err := s.jwt(jwt, seed)
		return []nats.Option{opt}, err
	}
	return nil, nil
}

// creds returns the option for a file of credentials, which nats.go reads anew for each
// reconnect, or for credentials that a reference leads to.
func (s *Settings) creds(ctx context.Context) (nats.Option, error) {
	text, file, err := s.fileOrReference(ctx, s.Creds)
	if err == nil {
		err = checkCreds(text)
	}
	switch {
	case err != nil:
		return nil, invalidf("%s: the user's credentials: %w", s.source(keyCreds), err)
	case file != "":
		return nats.UserCredentials(file), nil
	}
	return nats.UserCredentialBytes(text), nil
}

func checkCreds(text []byte) error {
	jwt, err := nkeys.ParseDecoratedJWT(text)
	if err == nil && jwt != "" {
		_, err = nkeys.ParseDecoratedUserNKey(text)
	}
	if err != nil || jwt == "" {
		return errors.New("there is no JWT with the seed of its user in them")
	}
	return nil
}

// nkey returns the option for the file of an nkey's seed, or a reference to it.
func (s *Settings) nkey(ctx context.Context) (nats.Option, error) {
	text, _, err := s.fileOrReference(ctx, s.NKey)
	if err != nil {
		return nil, invalidf("%s: the nkey: %w", s.source(keyNKey), err)
	}
	pair, err := nkeys.ParseDecoratedNKey(text)
	if err != nil {
		return nil, invalidf("%s: the nkey: there is no seed in it", s.source(keyNKey))
	}
	public, err := pair.PublicKey()
	if err != nil {
		return nil, invalidf("%s: the nkey: %w", s.source(keyNKey), err)
	}
	return nats.Nkey(public, pair.Sign), nil
}

// jwt returns the option for a user's JWT and its seed, or for that of a bearer, who signs
// nothing.
func (s *Settings) jwt(jwt, seed string) (nats.Option, error) {
	own := func() (string, error) { return jwt, nil }
	if seed == "" {
		return nats.UserJWT(own, func([]byte) ([]byte, error) { return nil, nil }), nil
	}
	pair, err := nkeys.FromSeed([]byte(seed))
	if err != nil {
		return nil, invalidf("%s: it is no seed of an nkey", s.source(keySeed))
	}
	return nats.UserJWT(own, pair.Sign), nil
}

// fileOrReference reads what a setting that is the name of a file or a reference leads to,
// and returns the file, if it is one.
func (s *Settings) fileOrReference(ctx context.Context, text string) (content []byte, file string, err error) {
	switch scheme, rest := reference(text); scheme {
	case "":
		file = text
	case "file":
		file = expand(rest)
	default:
		content, err = secret(ctx, scheme, rest)
		return content, "", err
	}
	content, err = readFile(file)
	return content, file, err
}

func (s *Settings) tlsOptions(context.Context) ([]nats.Option, error) {
	var opts []nats.Option
	if s.TLSCert != "" {
		cert, err := readFile(s.TLSCert)
		if err != nil {
			return nil, invalidf("%s: the client's certificate: %w", s.source(keyCert), err)
		}
		key, err := readFile(s.TLSKey)
		if err != nil {
			return nil, invalidf("%s: the key of the client's certificate: %w", s.source(keyKey), err)
		}
		if _, err := tls.X509KeyPair(cert, key); err != nil {
			return nil, invalidf("%s and %s: the client's certificate and its key: %w", s.source(keyCert), s.source(keyKey), err)
		}
		opts = append(opts, nats.ClientCert(s.TLSCert, s.TLSKey))
	}
	if s.TLSCA != "" {
		text, err := readFile(s.TLSCA)
		if err != nil {
			return nil, invalidf("%s: the certificates of authorities: %w", s.source(keyCA), err)
		}
		if !x509.NewCertPool().AppendCertsFromPEM(text) {
			return nil, invalidf("%s: there is no certificate in %s", s.source(keyCA), s.TLSCA)
		}
		opts = append(opts, nats.RootCAs(s.TLSCA))
	}
	if s.TLSFirst {
		opts = append(opts, nats.TLSHandshakeFirst())
	}
	return opts, nil
}

// wayOptions returns the options for the way to the server and back.
func (s *Settings) wayOptions(context.Context) ([]nats.Option, error) {
	var opts []nats.Option
	if s.InboxPrefix != "" {
		opts = append(opts, nats.CustomInboxPrefix(s.InboxPrefix))
	}
	if s.SOCKSProxy == "" {
		return opts, nil
	}
	var dialer proxy.Dialer
	u, err := url.Parse(s.SOCKSProxy)
	if err == nil {
		dialer, err = proxy.FromURL(u, &net.Dialer{Timeout: nats.DefaultTimeout})
	}
	if err != nil {
		return nil, invalidf("%s: %s is no URL of a SOCKS5 proxy; it has the form socks5://HOST:PORT", s.source(keyProxy), dial.Redact(s.SOCKSProxy))
	}
	// The proxy looks the host up: its name may be unknown here.
	return append(opts, nats.SetCustomDialer(dialer), nats.SkipHostLookup()), nil
}
