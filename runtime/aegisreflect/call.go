package aegisreflect

import (
	"context"
	"iter"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/emptypb"

	aegis "github.com/aegisrpc/aegis/runtime"
)

// Call calls a unary method, load balanced or single active, and returns the response. req is
// a message of Request or NewRequest, or one of generated code of the same type. Deadline,
// metadata, options, attempts and errors are those of a generated client.
func (m *Method) Call(ctx context.Context, req proto.Message, opts ...aegis.CallOption) (*dynamicpb.Message, error) {
	method, err := clientMethod(m, &m.unary, kindUnary, aegis.NewUnaryMethod[dynamicpb.Message, emptypb.Empty])
	if err != nil {
		return nil, err
	}
	msg, err := m.outgoing(req)
	if err != nil {
		return nil, err
	}
	res, err := method.Call(ctx, msg, opts...)
	if err != nil {
		return nil, err
	}
	return m.response(res)
}

// Broadcast calls a broadcast method of all instances and returns their replies as they come.
// Nothing is sent until the result is ranged over; aegis.CollectReplies does that. For the
// end of the replies see aegis.BroadcastMethod.
func (m *Method) Broadcast(ctx context.Context, req proto.Message, opts ...aegis.CallOption) iter.Seq[aegis.Reply[dynamicpb.Message]] {
	return func(yield func(aegis.Reply[dynamicpb.Message]) bool) {
		method, err := clientMethod(m, &m.broadcast, kindBroadcast, aegis.NewBroadcastMethod[dynamicpb.Message, emptypb.Empty])
		var msg *dynamicpb.Message
		if err == nil {
			msg, err = m.outgoing(req)
		}
		if err != nil {
			yield(aegis.Reply[dynamicpb.Message]{Err: err})
			return
		}
		for r := range method.Call(ctx, msg, opts...) {
			reply := aegis.Reply[dynamicpb.Message]{Instance: r.Instance, Err: r.Err}
			if r.Err == nil {
				reply.Msg, reply.Err = m.response(r.Msg)
			}
			if !yield(reply) {
				return
			}
		}
	}
}
