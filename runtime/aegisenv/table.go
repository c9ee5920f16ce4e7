package aegisenv

import "os"

// The keys of settings, as a file of a NATS context has them.
const (
	keyURL       = "url"
	keyContext   = "context"
	keyUser      = "user"
	keyPassword  = "password"
	keyToken     = "token"
	keyCreds     = "creds"
	keyNKey      = "nkey"
	keyJWT       = "user_jwt"
	keySeed      = "user_seed"
	keyCert      = "cert"
	keyKey       = "key"
	keyCA        = "ca"
	keyProxy     = "socks_proxy"
	keyInbox     = "inbox_prefix"
	keyDomain    = "jetstream_domain"
	keyPrefix    = "jetstream_api_prefix"
	keyNamespace = "namespace"
)

// setting is one of the settings that are texts: its name in each place where it may be.
type setting struct {
	key      string
	field    string
	flag     string
	variable string
	secret   bool
	at       func(*Settings) *string
	usage    string
}

// settings lists all settings that are texts.
//
//nolint:gosec // names, and no credentials
func settings() []setting {
	return []setting{
		{
			keyURL, "URL", "server", "NATS_URL", false, func(s *Settings) *string { return &s.URL },
			"URL of NATS, several with commas (default nats://127.0.0.1:4222)",
		},
		{
			keyContext, "Context", "context", "NATS_CONTEXT", false, func(s *Settings) *string { return &s.Context },
			"NATS context, by its name or its .json file",
		},
		{
			keyUser, "User", "user", "NATS_USER", false, func(s *Settings) *string { return &s.User },
			"user; without a password it is a token",
		},
		{
			keyPassword, "Password", "password", "NATS_PASSWORD", true, func(s *Settings) *string { return &s.Password },
			"password of the user; better in the environment, where other users of the machine do not see it",
		},
		{
			keyToken, "Token", "token", "NATS_TOKEN", true, func(s *Settings) *string { return &s.Token },
			"token; better in the environment, as a password is",
		},
		{
			keyCreds, "Creds", "creds", "NATS_CREDS", false, func(s *Settings) *string { return &s.Creds },
			"file with the user's credentials (JWT and seed)",
		},
		{
			keyNKey, "NKey", "nkey", "NATS_NKEY", false, func(s *Settings) *string { return &s.NKey },
			"file with the seed of the user's nkey",
		},
		{
			keyJWT, "JWT", "jwt", "NATS_JWT", true, func(s *Settings) *string { return &s.JWT },
			"JWT of the user, or file://PATH",
		},
		{
			keySeed, "Seed", "seed", "NATS_SEED", true, func(s *Settings) *string { return &s.Seed },
			"seed that belongs to the JWT, or file://PATH",
		},
		{
			keyCert, "TLSCert", "tlscert", "NATS_CERT", false, func(s *Settings) *string { return &s.TLSCert },
			"file with the client's certificate, for TLS",
		},
		{
			keyKey, "TLSKey", "tlskey", "NATS_KEY", false, func(s *Settings) *string { return &s.TLSKey },
			"file with the key of the client's certificate",
		},
		{
			keyCA, "TLSCA", "tlsca", "NATS_CA", false, func(s *Settings) *string { return &s.TLSCA },
			"file with the certificates that sign the server's (default: those of the system)",
		},
		{
			keyProxy, "SOCKSProxy", "socks-proxy", "NATS_SOCKS_PROXY", false, func(s *Settings) *string { return &s.SOCKSProxy },
			"URL of a SOCKS5 proxy to connect through",
		},
		{
			keyInbox, "InboxPrefix", "inbox-prefix", "AEGIS_INBOX_PREFIX", false, func(s *Settings) *string { return &s.InboxPrefix },
			"first part of the subjects of replies (default _INBOX)",
		},
		{
			keyNamespace, "Namespace", "namespace", "AEGIS_NAMESPACE", false, func(s *Settings) *string { return &s.Namespace },
			"namespace of the services (default aegis)",
		},
		{
			keyDomain, "JSDomain", "js-domain", "AEGIS_JS_DOMAIN", false, func(s *Settings) *string { return &s.JSDomain },
			"domain of the JetStream to use",
		},
		{
			keyPrefix, "JSAPIPrefix", "js-api-prefix", "AEGIS_JS_API_PREFIX", false, func(s *Settings) *string { return &s.JSAPIPrefix },
			"prefix of the API of a JetStream that another account exports (default $JS.API)",
		},
	}
}

// BindFlags has a program take settings from flags: it calls define for each of them with
// the field that has the flag's value, the flag's name, the variable of the environment
// that counts where the flag is absent, and the text for the help. The
// flags have the names of the nats tool's: server, context, creds and so on. Errors then name
// the flags in place of the fields.
//
//	aegisenv.BindFlags(&settings, func(value *string, name, variable, usage string) {
//		flag.StringVar(value, name, "", usage+" [$"+variable+"]")
//	})
func BindFlags(s *Settings, define func(value *string, name, variable, usage string)) {
	s.origin = &origin{flags: true}
	for _, p := range settings() {
		define(p.at(s), p.flag, p.variable, p.usage)
	}
}

// place is one of the places that settings come from.
type place struct {
	values   map[string]string // by key
	source   func(setting) string
	tlsFirst bool
	// file is set for a context, where a user without a password is no token.
	file bool
}

// has returns the value of a key, and says whether there is one.
func (p place) has(key string) bool { return p.values[key] != "" }

// fields is the place of the settings that the program has filled in itself.
func (s *Settings) fields() place {
	p := place{values: map[string]string{}, tlsFirst: s.TLSFirst}
	for _, each := range settings() {
		p.values[each.key] = *each.at(s)
	}
	flags := s.origin != nil && s.origin.flags
	p.source = func(each setting) string {
		if flags {
			return "--" + each.flag
		}
		return "Settings." + each.field
	}
	return p
}

// environment is the place of the settings that the environment has.
func environment() place {
	p := place{values: map[string]string{}, source: func(each setting) string { return each.variable }}
	for _, each := range settings() {
		p.values[each.key] = os.Getenv(each.variable)
	}
	return p
}
