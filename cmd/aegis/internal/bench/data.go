package bench

import (
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/methods"
)

// source gives a call its request. The calls of one worker follow one another, and the
// request is theirs until the next.
type source[Req any] func(worker int, n int64) (*Req, error)

// data is the request of all calls, or the template of their requests.
type data struct{ *methods.Template }

// newData reads JSON, which may be a template.
func newData(text string, parse func([]byte) (*dynamicpb.Message, error)) (*data, error) {
	t, err := methods.NewTemplate(text, parse)
	return &data{t}, err
}

// same gives all calls the same request, and each caller a copy of its own.
func (d *data) same(callers int) source[dynamicpb.Message] {
	all := make([]*dynamicpb.Message, callers)
	for i := range all {
		all[i] = proto.CloneOf(d.First())
	}
	return func(worker int, _ int64) (*dynamicpb.Message, error) { return all[worker], nil }
}

// marshalled gives all calls the same request as bytes that were marshalled once: they are
// the unknown fields of an empty message.
func (d *data) marshalled(callers int) (source[emptypb.Empty], error) {
	b, err := proto.Marshal(d.First())
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
