package aegisenv

import (
	"context"
	"log/slog"
	"strings"

	"github.com/nats-io/nats.go"

	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/internal/dial"
	"github.com/aegisrpc/aegis/runtime/internal/inside"
)

// Settings say where NATS is, who the program is there, and how its Aegis is set up. The
// zero value takes everything from the environment. Copy it freely; it is not meant to be
// changed while another goroutine uses it.
type Settings struct { //nolint:recvcheck // a value for its users, and Resolve fills one in
	// URL has the URLs of one or several servers, separated by commas.
	URL string
	// Context is the name of a NATS context, or a file that ends in .json.
	Context string
	// SelectedContext has the context used that "nats context select" has chosen, where
	// neither a context nor a server is named. Default: it is not used.
	SelectedContext bool

	// User and Password authenticate. A User without a Password is a token.
	User, Password string
	// Token authenticates.
	Token string
	// Creds is the file with a user's JWT and seed, as nsc writes it.
	Creds string
	// NKey is the file with the seed of an nkey.
	NKey string
	// JWT and Seed authenticate as a file of credentials does. Without a Seed it is the JWT of a bearer.
	JWT, Seed string

	// TLSCert and TLSKey are the files with the client's certificate and its key.
	TLSCert, TLSKey string
	// TLSCA is the file with the certificates of the authorities that sign the server's.
	// Default: those of the system.
	TLSCA string
	// TLSFirst begins with the TLS handshake, before the server has said anything.
	TLSFirst bool

	// SOCKSProxy is the URL of the SOCKS5 proxy to connect through.
	SOCKSProxy string
	// InboxPrefix begins the subjects of replies. Default: nats.go's, "_INBOX".
	InboxPrefix string
	// Namespace is that of aegis.WithNamespace.
	Namespace string
	// JSDomain is that of aegis.WithJetStreamDomain, JSAPIPrefix that of
	// aegis.WithJetStreamAPIPrefix.
	JSDomain, JSAPIPrefix string

	origin *origin
}

// Connect connects as the environment says; the selected context is not used. It is
// Settings{}.Connect.
func Connect(ctx context.Context, opts ...aegis.ConnOption) (*aegis.Conn, error) {
	return Settings{}.Connect(ctx, opts...)
}

// Connect connects with aegis.Connect, and with the options of the environment that Detect
// finds, which it logs. The options of the caller go over the settings, but
// the JetStream can be chosen only once: a domain or an API prefix in both places is an
// error. The name of the connection is that of the program, unless an option says
// otherwise. The error wraps ErrInvalid if a setting is invalid; others are those of
// aegis.Connect, and say which settings were used and where they came from.
func (s Settings) Connect(ctx context.Context, opts ...aegis.ConnOption) (*aegis.Conn, error) {
	r, natsOpts, err := s.prepare(ctx)
	if err != nil {
		return nil, err
	}
	where, err := Detect()
	if err != nil {
		return nil, err
	}
	own := append([]aegis.ConnOption{aegis.WithNATSOptions(natsOpts...)}, where.Options()...)
	if r.Namespace != "" {
		own = append(own, aegis.WithNamespace(r.Namespace))
	}
	if r.JSDomain != "" {
		own = append(own, aegis.WithJetStreamDomain(r.JSDomain))
	}
	if r.JSAPIPrefix != "" {
		own = append(own, aegis.WithJetStreamAPIPrefix(r.JSAPIPrefix))
	}
	conn, err := aegis.Connect(ctx, r.URL, append(own, opts...)...)
	if err != nil {
		return nil, r.explain(err)
	}
	level := slog.LevelInfo
	if where.bare() {
		level = slog.LevelDebug
	}
	inside.Of(conn).Logger.Log(ctx, level, "aegis: connected", "environment", where)
	return conn, nil
}

// ConnectNATS makes a connection without Aegis, with the defaults of aegis.Connect: it
// reconnects for ever and buffers nothing while NATS is away, and is named after the
// program and its version. The options go over the settings. Namespace and JetStream are left to the caller: see Resolve. Errors are those
// of Connect.
func (s Settings) ConnectNATS(ctx context.Context, opts ...nats.Option) (*nats.Conn, error) {
	r, natsOpts, err := s.prepare(ctx)
	if err != nil {
		return nil, err
	}
	natsOpts = append(natsOpts, nats.Name(dial.Title("", dial.BuiltVersion())))
	o, err := dial.Options(r.URL, append(natsOpts, opts...))
	if err != nil {
		return nil, r.explain(err)
	}
	nc, err := dial.Connect(ctx, r.URL, o)
	if err != nil {
		return nil, r.explain(err)
	}
	return nc, nil
}

// prepare resolves the settings and returns them with the options for nats.go.
func (s Settings) prepare(ctx context.Context) (Settings, []nats.Option, error) {
	r, err := s.Resolve(ctx)
	if err != nil {
		return Settings{}, nil, err
	}
	opts, err := r.natsOptions(ctx)
	if err != nil {
		return Settings{}, nil, err
	}
	return r, opts, nil
}

// String says which settings there are and, for those that Resolve returned, where they
// came from, without the secrets.
func (s Settings) String() string {
	var parts []string
	for _, p := range settings() {
		value := *s.at(p.key)
		switch {
		case value == "":
			continue
		case secrets(p.key), p.key == keyUser && s.Password == "": // a user without a password is a token
			value = "***"
		default:
			value = dial.Redact(value)
			if looksSecret(value) {
				value = "***"
			}
		}
		part := p.key + " " + value
		if s.origin != nil && s.origin.sources[p.key] != "" {
			part += " (" + s.origin.sources[p.key] + ")"
		}
		parts = append(parts, part)
	}
	if s.TLSFirst {
		parts = append(parts, "tls_first")
	}
	return strings.Join(parts, ", ")
}

// GoString is String, so that %#v prints no secrets either.
func (s Settings) GoString() string { return "aegisenv.Settings{" + s.String() + "}" }

// LogValue is String, so that slog logs no secrets.
func (s Settings) LogValue() slog.Value { return slog.StringValue(s.String()) }
