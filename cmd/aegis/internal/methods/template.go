package methods

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"strings"
	"text/template"

	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
)

// Template is the JSON of the requests of many calls. The requests are all the same, unless
// the JSON has blanks: {{.N}}, {{.Worker}} or {{.UUID}}. It is safe for concurrent use.
type Template struct {
	first  *dynamicpb.Message // the request of call 0
	blanks *template.Template // nil without blanks
	parse  func(json []byte) (*dynamicpb.Message, error)
}

// blanks are what a template can put in.
type blanks struct {
	N      int64 // the number of the call, from 0 on
	Worker int   // the number of the caller, from 0 on
}

// UUID returns a random UUID (RFC 9562, version 4).
func (blanks) UUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// NewTemplate reads JSON, with or without blanks. parse makes a message of JSON.
func NewTemplate(text string, parse func(json []byte) (*dynamicpb.Message, error)) (*Template, error) {
	t := &Template{parse: parse}
	var err error
	if !strings.Contains(text, "{{") {
		t.first, err = parse([]byte(text))
		return t, err
	}
	if t.blanks, err = template.New("data").Parse(text); err != nil {
		return nil, templateError(err)
	}
	t.first, err = t.rendered(0, 0)
	return t, err
}

func templateError(err error) error {
	return cli.Usagef("the template of the request: %s; it can have {{.N}}, {{.Worker}} and {{.UUID}}",
		strings.TrimPrefix(err.Error(), "template: "))
}

// First returns the request of call 0.
func (t *Template) First() *dynamicpb.Message { return t.first }

// Varies tells whether the requests differ from one another.
func (t *Template) Varies() bool { return t.blanks != nil }

// Request returns the request of a call. Without blanks all calls have the same message,
// which must not be changed then.
func (t *Template) Request(worker int, n int64) (*dynamicpb.Message, error) {
	if t.blanks == nil {
		return t.first, nil
	}
	return t.rendered(worker, n)
}

func (t *Template) rendered(worker int, n int64) (*dynamicpb.Message, error) {
	var b bytes.Buffer
	if err := t.blanks.Execute(&b, blanks{N: n, Worker: worker}); err != nil {
		return nil, templateError(err)
	}
	return t.parse(b.Bytes())
}
