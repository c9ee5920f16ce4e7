package aegisenv

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/dial"
)

// ErrInvalid is wrapped by errors that say which setting cannot be used: two contradict
// each other, a context or a file is not there or cannot be read, a value is malformed.
var ErrInvalid = errors.New("aegis: invalid connection settings")

// invalid is an error that wraps ErrInvalid and has a text of its own.
type invalid struct {
	text  string
	cause error
}

func (e *invalid) Error() string        { return "aegis: " + e.text }
func (e *invalid) Is(target error) bool { return target == ErrInvalid }
func (e *invalid) Unwrap() error        { return e.cause }

func invalidf(format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	return &invalid{text: err.Error(), cause: errors.Unwrap(err)}
}

// origin is where settings came from.
type origin struct {
	flags    bool              // the fields are bound to flags
	resolved bool              // Resolve has returned these settings
	sources  map[string]string // by key, for those that are set
	ignored  string            // the selected context, where it does not count as a server is named
}

// source names the place of a setting that is set.
func (s *Settings) source(key string) string { return s.origin.sources[key] }

// Resolve returns the settings that Connect uses: fields that were empty are filled from
// the other places, in the order that the package's documentation has. A program takes
// from it what it needs beside the connection, such as the Namespace. Files of contexts are
// read, and the program nsc is asked where a context says so; all other files and
// references stay as they are. The error wraps ErrInvalid.
func (s Settings) Resolve(ctx context.Context) (Settings, error) {
	if s.origin != nil && s.origin.resolved {
		return s, nil
	}
	r := Settings{origin: &origin{resolved: true, sources: map[string]string{}}}
	places, err := s.places(ctx, r.origin)
	if err != nil {
		return Settings{}, err
	}
	for _, key := range []string{keyURL, keyContext, keyCert, keyKey, keyCA, keyProxy, keyInbox, keyNamespace} {
		r.take(places, key)
	}
	for _, p := range places {
		r.TLSFirst = r.TLSFirst || p.tlsFirst
	}
	if r.URL == "" {
		r.URL = nats.DefaultURL
		r.origin.sources[keyURL] = "default, as nothing names a server"
	}
	if err := r.takeJetStream(places); err != nil {
		return Settings{}, err
	}
	if err := r.takeUser(places); err != nil {
		return Settings{}, err
	}
	if err := r.check(); err != nil {
		return Settings{}, err
	}
	return r, nil
}

// places lists where settings come from, the first one first.
func (s *Settings) places(ctx context.Context, o *origin) ([]place, error) {
	fields, env := s.fields(), environment()
	if fields.has(keyContext) {
		file, err := readContext(ctx, s.Context, fields.source(find(keyContext)))
		return []place{fields, file, env}, err
	}
	if env.has(keyContext) {
		file, err := readContext(ctx, env.values[keyContext], env.source(find(keyContext)))
		return []place{fields, env, file}, err
	}
	if !s.SelectedContext {
		return []place{fields, env}, nil
	}
	name, where := selectedContext()
	switch {
	case name == "":
		return []place{fields, env}, nil
	case fields.has(keyURL) || env.has(keyURL):
		o.ignored = name
		return []place{fields, env}, nil
	}
	file, err := readContext(ctx, name, "selected in "+where)
	if err == nil {
		file.values[keyContext] = name
	}
	return []place{fields, env, file}, err
}

func find(key string) setting {
	for _, each := range settings() {
		if each.key == key {
			return each
		}
	}
	return setting{}
}

// take sets a setting to the value of the first place that has one.
func (s *Settings) take(places []place, key string) {
	for _, p := range places {
		if p.has(key) {
			each := find(key)
			*s.at(key) = p.values[key]
			s.origin.sources[key] = p.source(each)
			return
		}
	}
}

// takeJetStream takes the domain or the prefix, whichever comes first.
func (s *Settings) takeJetStream(places []place) error {
	for _, p := range places {
		switch domain, prefix := p.has(keyDomain), p.has(keyPrefix); {
		case domain && prefix:
			return contradiction(&p, keyDomain, keyPrefix, "a JetStream has a domain or an API prefix")
		case domain:
			s.take([]place{p}, keyDomain)
			return nil
		case prefix:
			s.take([]place{p}, keyPrefix)
			return nil
		}
	}
	return nil
}

func contradiction(p *place, a, b, why string) error {
	return invalidf("%s and %s contradict each other: %s, so give one of them", p.source(find(a)), p.source(find(b)), why)
}

// ways lists the ways to authenticate, each by the settings that it needs.
func ways() [][]string {
	return [][]string{{keyUser, keyPassword}, {keyToken}, {keyCreds}, {keyNKey}, {keyJWT, keySeed}, {keyURL}}
}

// takeUser takes the way to authenticate of the first place that has one.
func (s *Settings) takeUser(places []place) error {
	for i, p := range places {
		var found []string // the first setting of each way that the place has
		var chosen []string
		for _, way := range ways() {
			for _, key := range way {
				if p.has(key) && (key != keyURL || s.source(keyURL) == p.source(find(keyURL)) && hasUser(s.URL)) {
					found, chosen = append(found, key), way
					break
				}
			}
		}
		switch len(found) {
		case 0:
			continue
		case 1:
			return s.authenticate(places[i:], chosen)
		default:
			return contradiction(&p, found[0], found[1], "there is one way to authenticate")
		}
	}
	return nil
}

// authenticate takes the settings of a way, which the first of the places has.
func (s *Settings) authenticate(places []place, way []string) error {
	if way[0] == keyURL {
		return nil // nats.go takes the user from the URL
	}
	s.URL = withoutUser(s.URL)
	for _, key := range way {
		s.take(places, key)
	}
	switch {
	case way[0] == keyUser && s.User == "":
		return invalidf("%s: there is a password, but no user that it belongs to; give the user as well, with %s", s.source(keyPassword), find(keyUser).variable)
	case way[0] == keyUser && s.Password == "" && !places[0].file:
		s.Token, s.User = s.User, ""
		s.origin.sources[keyToken] = s.source(keyUser) + ", as there is no password"
	case way[0] == keyJWT && s.JWT == "":
		return invalidf("%s: there is a seed, but no JWT that it belongs to; give the JWT as well, with %s, or the seed in a file, with %s",
			s.source(keySeed), find(keyJWT).variable, find(keyNKey).variable)
	}
	return nil
}

// check returns what is wrong with the settings on their own.
func (s *Settings) check() error {
	for each := range strings.SplitSeq(s.URL, ",") {
		if problem := wrongURL(strings.TrimSpace(each)); problem != "" {
			return invalidf("%s: %s is no URL of a NATS server: %s", s.source(keyURL), dial.Redact(each), problem)
		}
	}
	switch {
	case s.TLSCert != "" && s.TLSKey == "":
		return invalidf("%s: there is a certificate, but no key that it belongs to; give the key as well, with %s", s.source(keyCert), find(keyKey).variable)
	case s.TLSKey != "" && s.TLSCert == "":
		return invalidf("%s: there is a key, but no certificate that it belongs to; give the certificate as well, with %s", s.source(keyKey), find(keyCert).variable)
	case s.Namespace != "" && !wire.ValidNamespace(s.Namespace):
		return invalidf("%s: the namespace %q has to be 1 to 32 characters of A-Z a-z 0-9 _", s.source(keyNamespace), s.Namespace)
	case s.JSDomain != "" && !wire.ValidInstance(s.JSDomain):
		return invalidf("%s: the JetStream domain %q has to be 1 to 64 characters of A-Z a-z 0-9 _ -", s.source(keyDomain), s.JSDomain)
	case s.JSAPIPrefix != "" && !wire.ValidSubject(s.JSAPIPrefix):
		return invalidf("%s: the JetStream API prefix %q is no subject without wildcards", s.source(keyPrefix), s.JSAPIPrefix)
	case s.InboxPrefix != "" && !wire.ValidSubject(s.InboxPrefix):
		return invalidf("%s: the inbox prefix %q is no subject without wildcards", s.source(keyInbox), s.InboxPrefix)
	}
	return nil
}

// wrongURL says what is wrong with the URL of a server; "" is nothing. The text has no
// part of the URL that may be a password.
func wrongURL(text string) string {
	u, err := url.Parse(withScheme(text))
	switch {
	case text == "":
		return "it is empty"
	case err != nil:
		return "it cannot be parsed; a password with special characters has them percent-encoded"
	case u.Hostname() == "":
		return "it has no host"
	}
	switch u.Scheme {
	case "nats", "tls", "ws", "wss":
		return ""
	}
	return fmt.Sprintf("the scheme is %q, and has to be nats, tls, ws or wss", u.Scheme)
}

// withScheme completes a URL as nats.go does.
func withScheme(text string) string {
	if strings.Contains(text, "://") {
		return text
	}
	return "nats://" + text
}

// hasUser tells whether one of the URLs has a user or a token.
func hasUser(urls string) bool {
	for each := range strings.SplitSeq(urls, ",") {
		if u, err := url.Parse(withScheme(strings.TrimSpace(each))); err == nil && u.User != nil {
			return true
		}
	}
	return false
}

// withoutUser removes users and tokens from the URLs, as nats.go prefers them to all else.
func withoutUser(urls string) string {
	if !hasUser(urls) {
		return urls
	}
	all := strings.Split(urls, ",")
	for i, each := range all {
		if u, err := url.Parse(withScheme(strings.TrimSpace(each))); err == nil && u.User != nil {
			u.User = nil
			all[i] = u.String()
		}
	}
	return strings.Join(all, ",")
}
