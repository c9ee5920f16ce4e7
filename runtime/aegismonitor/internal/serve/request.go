package serve

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/registry"
)

const (
	// maxPath and maxQuery bound an address.
	maxPath  = 1024
	maxQuery = 4096
	// maxBody is how large the body of a request may be. A message of NATS is at most 1 MiB
	// unless its server is told otherwise.
	maxBody = 2 << 20
	// maxName bounds the name of a method.
	maxName = 200
)

// plain reports whether a path has only characters that addresses of the monitor have, and
// no step up or to the same place.
func plain(u *url.URL) bool {
	if u.RawPath != "" || len(u.Path) > maxPath || !strings.HasPrefix(u.Path, "/") {
		return false
	}
	for i := range len(u.Path) {
		if c := u.Path[i]; c != '/' && c != '.' && c != '_' && c != '-' && !wire.IsAlphanumeric(c) {
			return false
		}
	}
	segments := strings.Split(u.Path[1:], "/")
	last := len(segments) - 1
	return !slices.Contains(segments[:last], "") && !slices.Contains(segments, ".") && !slices.Contains(segments, "..")
}

// query is what is behind the question mark of an address.
type query struct{ values url.Values }

// queryOf reads a query that has only parameters that are known, each once: a filter that is
// misspelled would pick everything.
func queryOf(r *http.Request, known ...string) (query, error) {
	if len(r.URL.RawQuery) > maxQuery {
		return query{}, badRequest("the query is longer than " + strconv.Itoa(maxQuery) + " characters")
	}
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return query{}, badRequest("the query cannot be read: " + err.Error())
	}
	for name, list := range values {
		switch {
		case !slices.Contains(known, name) && len(known) == 0:
			return query{}, badRequest("there is no parameter " + strconv.Quote(name) + ": this address has none")
		case !slices.Contains(known, name):
			return query{}, badRequest("there is no parameter " + strconv.Quote(name) + ": use " + strings.Join(known, ", "))
		case len(list) > 1:
			return query{}, badRequest("the parameter " + name + " is given twice")
		}
	}
	return query{values}, nil
}

// text returns a parameter; "" if it is not given.
func (q query) text(name string) string { return q.values.Get(name) }

// number returns a parameter that is a whole number within bounds.
func (q query) number(name string, unless, least, most uint64) (uint64, error) {
	if !q.values.Has(name) {
		return unless, nil
	}
	n, err := strconv.ParseUint(q.values.Get(name), 10, 64)
	if err != nil || n < least || n > most {
		return 0, badRequest("the parameter " + name + " is no whole number from " +
			strconv.FormatUint(least, 10) + " to " + strconv.FormatUint(most, 10))
	}
	return n, nil
}

// serviceOf returns the service that an address names.
func serviceOf(r *http.Request) (string, error) {
	name := r.PathValue("service")
	if !registry.ValidService(name) {
		return "", newProblem(http.StatusNotFound, strconv.Quote(name)+" is no full name of a service, such as order.v1.OrderService")
	}
	return name, nil
}

// methodOf returns the method that an address names.
func methodOf(r *http.Request) (string, error) {
	name := r.PathValue("method")
	if !validMethod(name) {
		return "", newProblem(http.StatusNotFound, strconv.Quote(name)+" is no name of a method")
	}
	return name, nil
}

func validMethod(name string) bool { return wire.ValidMethod(name) && len(name) <= maxName }

// readBody reads the only JSON value of a body, which has no other fields than into has.
func readBody(w http.ResponseWriter, r *http.Request, into any) error {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != typeJSON {
		return newProblem(http.StatusUnsupportedMediaType, "the body must have the Content-Type application/json")
	}
	if r.Header.Get("Content-Encoding") != "" {
		return newProblem(http.StatusUnsupportedMediaType, "the body must not be compressed")
	}
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return bodyProblem(err)
	}
	if _, err := d.Token(); err != io.EOF {
		return badRequest("the body has more than one JSON value")
	}
	return nil
}

func bodyProblem(err error) error {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return err
	}
	return badRequest("the body cannot be read: " + strings.TrimPrefix(err.Error(), "json: "))
}
