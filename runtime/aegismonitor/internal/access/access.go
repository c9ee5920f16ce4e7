// Package access decides who may use a monitor.
package access

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
)

// Config says how users prove who they are. Each way that is set suffices; if none is,
// everybody is let in.
type Config struct {
	Token          string
	User, Password string
	// ProxyHeader is the header in which a trusted proxy names the user.
	ProxyHeader string
}

// Validate returns an error for what would let in nobody, or more people than meant.
func (c *Config) Validate() error {
	switch {
	case strings.ContainsFunc(c.Token, func(r rune) bool { return r <= ' ' || r > '~' }):
		return errors.New("the bearer token has other characters than letters, digits and punctuation of ASCII, which no header can carry")
	case (c.User == "") != (c.Password == ""):
		return errors.New("basic auth needs both a user and a password")
	case strings.Contains(c.User, ":"):
		return errors.New("the user of basic auth has a colon, which no browser can send")
	case strings.ContainsFunc(c.ProxyHeader, notOfName):
		return errors.New(strconv.Quote(c.ProxyHeader) + " is no name of a header")
	}
	switch http.CanonicalHeaderKey(c.ProxyHeader) {
	case "Host", "Authorization", "Cookie", "Origin", "User-Agent", "Accept":
		return errors.New("the header " + c.ProxyHeader + " comes from the browser of the user, and not from a proxy")
	}
	return nil
}

// notOfName reports whether the name of a header cannot have a character.
func notOfName(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
}

// Guard decides who may use a monitor. It is safe for concurrent use.
type Guard struct {
	config  Config
	guesses guesses
}

// New returns a guard. The configuration is a valid one.
func New(c Config) *Guard { return &Guard{config: c} }

// Open reports whether everybody is let in.
func (g *Guard) Open() bool {
	return g.config.Token == "" && g.config.User == "" && g.config.ProxyHeader == ""
}

// PageAsks reports whether the page itself asks its user for the token. With a password the
// browser asks, before it loads the page.
func (g *Guard) PageAsks() bool { return g.config.Token != "" && g.config.User == "" }

// Verdict is what a guard thinks of a request.
type Verdict int

// The verdicts.
const (
	Welcome Verdict = iota
	// Unknown: the request says nothing of its user.
	Unknown
	// Wrong: a token or a password is wrong.
	Wrong
	// Limited: too many were wrong from that address. Whether this one is right is not said.
	Limited
)

// Judge decides about a request, and returns the name of its user, "" if nobody has to say
// one.
func (g *Guard) Judge(r *http.Request) (user string, v Verdict) {
	if g.Open() {
		return "", Welcome
	}
	if name := g.fromProxy(r); name != "" {
		return name, Welcome
	}
	given := r.Header.Get("Authorization")
	if given == "" || g.config.Token == "" && g.config.User == "" {
		return "", Unknown
	}
	v = g.guesses.try(remote(r), func() (right bool) {
		user, right = g.check(r, given)
		return right
	})
	return user, v
}

// fromProxy returns the user whom the proxy names; "" for none.
func (g *Guard) fromProxy(r *http.Request) string {
	if g.config.ProxyHeader == "" {
		return ""
	}
	values := r.Header.Values(g.config.ProxyHeader)
	if len(values) != 1 { // with two of them one is not the proxy's
		return ""
	}
	return strings.TrimSpace(values[0])
}

func (g *Guard) check(r *http.Request, given string) (user string, ok bool) {
	if scheme, token, found := strings.Cut(given, " "); found && strings.EqualFold(scheme, "Bearer") {
		return "token", g.config.Token != "" && same(strings.TrimSpace(token), g.config.Token)
	}
	name, password, found := r.BasicAuth()
	if !found || g.config.User == "" {
		return "", false
	}
	right := same(name, g.config.User)
	right = same(password, g.config.Password) && right // both are compared, so that the time says nothing
	return g.config.User, right
}

// same compares in a time that says nothing about either.
func same(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// Challenges returns the values of WWW-Authenticate. A browser asks its user for a password
// if one of them is Basic.
func (g *Guard) Challenges() []string {
	var list []string
	if g.config.Token != "" {
		list = append(list, `Bearer realm="aegis monitor"`)
	}
	if g.config.User != "" {
		list = append(list, `Basic realm="aegis monitor", charset="UTF-8"`)
	}
	return list
}

// Rebound reports whether a request came to a loopback address under a foreign name: a web
// page of somebody else has its own name resolve to this machine, to read what only its
// user may read. A monitor that asks for a token or a password is safe from that.
func (g *Guard) Rebound(r *http.Request) bool {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok || !g.Open() {
		return false
	}
	at, err := netip.ParseAddrPort(local.String())
	if err != nil || !at.Addr().Unmap().IsLoopback() {
		return false
	}
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if strings.EqualFold(host, "localhost") {
		return false
	}
	named, err := netip.ParseAddr(host)
	return err != nil || !named.Unmap().IsLoopback()
}
