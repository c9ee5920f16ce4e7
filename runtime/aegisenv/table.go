package aegisenv

import (
	"os"
	"slices"
)

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
type setting struct{ key, field, flag, variable, usage string }

// settings lists all settings that are texts.
func settings() []setting {
	return []setting{
		{keyURL, "URL", "server", "NATS_URL", "URL of NATS, several with commas (default nats://127.0.0.1:4222)"},
		{keyContext, "Context", "context", "NATS_CONTEXT", "NATS context, by its name or its .json file"},
		{keyUser, "User", "user", "NATS_USER", "user; without a password it is a token"},
		{keyPassword, "Password", "password", "NATS_PASSWORD", "password of the user; better in the environment, where other users of the machine do not see it"},
		{keyToken, "Token", "token", "NATS_TOKEN", "token; better in the environment, as a password is"},
		{keyCreds, "Creds", "creds", "NATS_CREDS", "file with the user's credentials (JWT and seed)"},
		{keyNKey, "NKey", "nkey", "NATS_NKEY", "file with the seed of the user's nkey"},
		{keyJWT, "JWT", "jwt", "NATS_JWT", "JWT of the user, or file://PATH"},
		{keySeed, "Seed", "seed", "NATS_SEED", "seed that belongs to the JWT, or file://PATH"},
		{keyCert, "TLSCert", "tlscert", "NATS_CERT", "file with the client's certificate, for TLS"},
		{keyKey, "TLSKey", "tlskey", "NATS_KEY", "file with the key of the client's certificate"},
		{keyCA, "TLSCA", "tlsca", "NATS_CA", "file with the certificates that sign the server's (default: those of the system)"},
		{keyProxy, "SOCKSProxy", "socks-proxy", "NATS_SOCKS_PROXY", "URL of a SOCKS5 proxy to connect through"},
		{keyInbox, "InboxPrefix", "inbox-prefix", "AEGIS_INBOX_PREFIX", "first part of the subjects of replies (default _INBOX)"},
		{keyNamespace, "Namespace", "namespace", "AEGIS_NAMESPACE", "namespace of the services (default aegis)"},
		{keyDomain, "JSDomain", "js-domain", "AEGIS_JS_DOMAIN", "domain of the JetStream to use"},
		{keyPrefix, "JSAPIPrefix", "js-api-prefix", "AEGIS_JS_API_PREFIX", "prefix of the API of a JetStream that another account exports (default $JS.API)"},
	}
}

// secrets tells whether the value of a setting is a secret as it stands.
func secrets(key string) bool {
	return slices.Contains([]string{keyPassword, keyToken, keyJWT, keySeed}, key)
}

// at returns the field of a setting.
func (s *Settings) at(key string) *string {
	return map[string]*string{
		keyURL:       &s.URL,
		keyContext:   &s.Context,
		keyUser:      &s.User,
		keyPassword:  &s.Password,
		keyToken:     &s.Token,
		keyCreds:     &s.Creds,
		keyNKey:      &s.NKey,
		keyJWT:       &s.JWT,
		keySeed:      &s.Seed,
		keyCert:      &s.TLSCert,
		keyKey:       &s.TLSKey,
		keyCA:        &s.TLSCA,
		keyProxy:     &s.SOCKSProxy,
		keyInbox:     &s.InboxPrefix,
		keyNamespace: &s.Namespace,
		keyDomain:    &s.JSDomain,
		keyPrefix:    &s.JSAPIPrefix,
	}[key]
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
		define(s.at(p.key), p.flag, p.variable, p.usage)
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
func (p *place) has(key string) bool { return p.values[key] != "" }

// fields is the place of the settings that the program has filled in itself.
func (s *Settings) fields() place {
	p := place{values: map[string]string{}, tlsFirst: s.TLSFirst}
	for _, each := range settings() {
		p.values[each.key] = *s.at(each.key)
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
