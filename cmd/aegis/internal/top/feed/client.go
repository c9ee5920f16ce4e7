// Package feed reads the live documents of a monitor: of one that runs elsewhere, by its URL,
// or of a handler in this process.
package feed

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/aegisrpc/aegis/internal/monitorapi"
)

// largestProblem bounds what is read of the body of an error.
const largestProblem = 64 << 10

// Client reads the documents of one monitor. It is safe for concurrent use.
type Client struct {
	base  *url.URL
	token string
	http  *http.Client
}

// New returns a client of the monitor at a URL, such as "https://ops.example/monitor". The
// token, if there is one, goes into each request.
func New(base, token string, transport http.RoundTripper) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil {
		return nil, fmt.Errorf("the URL of the monitor: %w", err)
	}
	if (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, fmt.Errorf("%q is no URL of a monitor: it looks like http://127.0.0.1:8900/", u.Redacted())
	}
	u.RawQuery, u.Fragment = "", ""
	return &Client{base: u, token: token, http: &http.Client{Transport: transport}}, nil
}

// Target returns the URL of the monitor without a password.
func (c *Client) Target() string { return c.base.Redacted() }

// StatusError is the answer of a monitor that does not give a document.
type StatusError struct {
	Status  int
	Problem monitorapi.Problem
}

func (e *StatusError) Error() string {
	said := e.Problem.Title
	if e.Problem.Detail != "" {
		said = e.Problem.Detail
	}
	if said == "" {
		said = http.StatusText(e.Status)
	}
	return fmt.Sprintf("the monitor answers with status %d: %s", e.Status, said)
}

// Lasting tells whether asking again gives the same answer: the address is no monitor's, or
// the token is wrong.
func (e *StatusError) Lasting() bool {
	return e.Status >= 400 && e.Status < 500 && e.Status != http.StatusTooManyRequests && e.Status != http.StatusRequestTimeout
}

// open begins a stream of a document. The caller closes the body.
func (c *Client) open(ctx context.Context, path string) (io.ReadCloser, error) {
	at := c.base.JoinPath(monitorapi.Prefix, path)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", streamType)
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type")) // "" for a wrong one
	if res.StatusCode == http.StatusOK && kind == streamType {
		return res.Body, nil
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode == http.StatusOK {
		return nil, &StatusError{Status: http.StatusNotFound, Problem: monitorapi.Problem{
			Detail: fmt.Sprintf("%s is no monitor of Aegis: it answers with %q", c.Target(), kind),
		}}
	}
	return nil, statusError(res, kind)
}

func statusError(res *http.Response, kind string) error {
	e := &StatusError{Status: res.StatusCode}
	if strings.HasSuffix(kind, "json") {
		_ = json.NewDecoder(io.LimitReader(res.Body, largestProblem)).Decode(&e.Problem) // the status says enough
	}
	return e
}
