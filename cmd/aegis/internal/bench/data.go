package bench

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"strings"
	"text/template"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
)

// source gives a call its request. The calls of one worker follow one another, and the
// request is theirs until the next.
type source[Req any] func(worker int, n int64) (*Req, error)

// data is the request of all calls, or the template of their requests.
type data struct {
	first    *dynamicpb.Message // the request of call 0
	template *template.Template // nil if all requests are the same
	parse    func(json []byte) (*dynamicpb.Message, error)
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

// newData reads JSON, which is a template if it has {{.
func newData(text string, parse func([]byte) (*dynamicpb.Message, error)) (*data, error) {
	d := &data{parse: parse}
	var err error
	if !strings.Contains(text, "{{") {
		d.first, err = parse([]byte(text))
		return d, err
	}
	if d.template, err = template.New("data").Parse(text); err != nil {
		return nil, cli.Usagef("the template of the request: %s; it can have {{.N}}, {{.Worker}} and {{.UUID}}",
			strings.TrimPrefix(err.Error(), "template: "))
	}
	d.first, err = d.rendered(0, 0)
	return d, err
}

// rendered makes the request of a call from the template.
func (d *data) rendered(worker int, n int64) (*dynamicpb.Message, error) {
	var b bytes.Buffer
	if err := d.template.Execute(&b, blanks{N: n, Worker: worker}); err != nil {
		return nil, cli.Usagef("the template of the request: %s; it can have {{.N}}, {{.Worker}} and {{.UUID}}",
			strings.TrimPrefix(err.Error(), "template: "))
	}
	return d.parse(b.Bytes())
}

// same gives all calls the same request, and each caller a copy of its own.
func (d *data) same(callers int) source[dynamicpb.Message] {
	all := make([]*dynamicpb.Message, callers)
	for i := range all {
		all[i] = proto.CloneOf(d.first)
	}
	return func(worker int, _ int64) (*dynamicpb.Message, error) { return all[worker], nil }
}

// marshalled gives all calls the same request as bytes that were marshalled once: they are
// the unknown fields of an empty message.
func (d *data) marshalled(callers int) (source[emptypb.Empty], error) {
	b, err := proto.Marshal(d.first)
	if err != nil {
		return nil, err
	}
	all := make([]*emptypb.Empty, callers)
	for i := range all {
		all[i] = &emptypb.Empty{}
		all[i].ProtoReflect().SetUnknown(b)
	}
	return func(worker int, _ int64) (*emptypb.Empty, error) { return all[worker], nil }, nil
}

// readData returns the JSON that --data or the argument names.
func readData(in io.Reader, flag string, args []string) (string, error) {
	if len(args) > 0 {
		if flag != "" {
			return "", cli.Usagef("the request is given twice: as an argument, and with --data; leave one out")
		}
		flag = args[0]
	}
	switch {
	case flag == "-":
		b, err := io.ReadAll(in)
		if err != nil {
			return "", fmt.Errorf("read the request from standard input: %w", err)
		}
		return string(b), nil
	case strings.HasPrefix(flag, "@"):
		b, err := os.ReadFile(flag[1:])
		if err != nil {
			return "", fmt.Errorf("read the request: %w", err)
		}
		return string(b), nil
	default:
		return flag, nil
	}
}
