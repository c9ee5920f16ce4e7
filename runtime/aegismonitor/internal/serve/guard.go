package serve

import (
	"context"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/access"
)

// headers are those of all answers. The page takes scripts and styles only from where it
// comes from, and nobody can put it into a frame.
var headers = map[string]string{ //nolint:gochecknoglobals // a table
	"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
		"font-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
	"X-Content-Type-Options":       "nosniff",
	"X-Frame-Options":              "DENY",
	"Referrer-Policy":              "no-referrer",
	"Cross-Origin-Opener-Policy":   "same-origin",
	"Cross-Origin-Resource-Policy": "same-origin",
	"Permissions-Policy":           "camera=(), geolocation=(), microphone=()",
	"Cache-Control":                "no-store",
}

// user is the key of the name of the user in the context of a request.
type user struct{}

// userOf returns who makes a request, as logs and events of the system name them.
func userOf(r *http.Request) string {
	if name, _ := r.Context().Value(user{}).(string); name != "" {
		return name
	}
	return "somebody"
}

// clean makes a name readable that a header may have forged.
func clean(name string) string {
	const longest = 100
	name = strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) {
			return '?'
		}
		return c
	}, strings.ToValidUTF8(name, "?"))
	if list := []rune(name); len(list) > longest {
		return string(list[:longest]) + "…"
	}
	return name
}

// guarded lets only users in whom the guard knows, and nobody whom a foreign page sends.
func (s *Server) guarded(next handler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if s.config.Guard.Rebound(r) {
			return newProblem(http.StatusMisdirectedRequest,
				"this monitor is one of this machine: use localhost or a loopback address, and not "+strconv.Quote(clean(r.Host)))
		}
		if err := s.origin.Check(r); err != nil {
			return newProblem(http.StatusForbidden, "the request comes from a page of another origin")
		}
		name, verdict := s.config.Guard.Judge(r)
		if verdict != access.Welcome {
			return s.refuse(r, verdict)
		}
		return next(w, r.WithContext(context.WithValue(r.Context(), user{}, clean(name))))
	}
}

func (s *Server) refuse(r *http.Request, v access.Verdict) error {
	challenges := s.config.Guard.Challenges()
	switch {
	case v == access.Limited:
		return newProblem(http.StatusTooManyRequests, "too many wrong tokens or passwords came from this address").with("Retry-After", "2")
	case len(challenges) == 0:
		return newProblem(http.StatusForbidden, "this monitor is reached over a proxy, which says who its user is")
	case v == access.Wrong:
		s.config.Logger.Warn("aegismonitor: a wrong token or password", "remote", r.RemoteAddr, "path", r.URL.Path)
	}
	p := newProblem(http.StatusUnauthorized, "a token or a password is needed")
	for _, c := range challenges {
		p = p.with("WWW-Authenticate", c)
	}
	return p
}

// pageGuarded guards the files of the page, which have no data in them. If users have only a
// token, the page must be there to ask for it.
func (s *Server) pageGuarded(next handler) handler {
	guarded := s.guarded(next)
	return func(w http.ResponseWriter, r *http.Request) error {
		if s.config.Guard.PageAsks() {
			return next(w, r)
		}
		return guarded(w, r)
	}
}

const (
	// maxReading is how many requests may read from NATS at once, and patience how long
	// another one waits for that.
	maxReading = 16
	patience   = 2 * time.Second
)

// reading bounds the requests that read from NATS, or act, at once.
func (s *Server) reading(next handler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		timer := time.NewTimer(patience)
		defer timer.Stop()
		select {
		case s.turns <- struct{}{}:
			defer func() { <-s.turns }()
			return next(w, r)
		case <-timer.C:
			return busy(patience, "too many requests are under way")
		case <-r.Context().Done():
			return busy(patience, "the request has ended")
		}
	}
}

// toSlash redirects from the mount point without a slash at its end to that with one, to
// which the addresses in the page are relative. What the mount point is only the address
// that the client has asked for says.
func toSlash(w http.ResponseWriter, r *http.Request) {
	at, _, _ := strings.Cut(r.RequestURI, "?")
	name := path.Base(at)
	if name == "." || name == "/" {
		notFound(w, r)
		return
	}
	to := "./" + name + "/"
	if r.URL.RawQuery != "" {
		to += "?" + r.URL.RawQuery
	}
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusPermanentRedirect)
}
