package aegis

import (
	"context"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	"github.com/aegisrpc/aegis/internal/spec"
	"github.com/aegisrpc/aegis/runtime/internal/inmemory"
	"github.com/aegisrpc/aegis/runtime/internal/status"
)

// inMemory is the innermost interceptor of clients and publishers whose connection has a
// memory in the place of NATS: it passes nothing on.
type inMemory struct {
	memory  inmemory.Memory
	service *spec.Service
}

// WrapServerStream is not called, as servers have no such interceptor.
func (inMemory) WrapServerStream(next ServerStreamFunc) ServerStreamFunc { return next }

// WrapUnary makes calls, publishes events and sends commands.
func (m inMemory) WrapUnary(UnaryFunc) UnaryFunc {
	return func(ctx context.Context, req proto.Message) (proto.Message, error) {
		call, ok := CallFromContext(ctx)
		if !ok {
			return nil, NewError(CodeInternal, "an interceptor passed on a context that does not derive from its own")
		}
		out, err := m.outgoing(call)
		if err != nil {
			return nil, err
		}
		// A context may have both, if an interceptor of one makes the other.
		switch p := ctx.Value(publicationKey{}).(type) {
		case *eventPublication:
			if p.call == call {
				return nil, m.publish(p, out, req)
			}
		case *commandPublication:
			if p.call == call {
				return nil, m.send(p, out, req)
			}
		}
		return m.call(ctx, call, out, req)
	}
}

// outgoing returns what the call, the event or the command is sent with.
func (m inMemory) outgoing(call *Call) (*inmemory.Outgoing, error) {
	header, err := carried(call.request)
	if err != nil {
		return nil, err
	}
	return &inmemory.Outgoing{Service: m.service, Method: m.service.Method(call.method.Name), Header: header}, nil
}

// carried returns metadata as they are after they have travelled.
func carried(h Header) (Header, error) {
	in := make(nats.Header, len(h))
	if err := h.encodeTo(in); err != nil {
		return nil, err
	}
	out, err := decodeHeader(in)
	return out, errorOrNone(err)
}

func (m inMemory) call(ctx context.Context, call *Call, out *inmemory.Outgoing, req proto.Message) (proto.Message, error) {
	inv, ok := ctx.Value(invocationKey{}).(*invocation)
	if !ok {
		return nil, NewError(CodeInternal, "an interceptor of a client passed on a context that does not derive from its own")
	}
	direct(out, inv.cfg)
	res, why := m.memory.Call(ctx, out, req)
	call.response = out.Response
	if out.Term != nil {
		call.term = Term(*out.Term)
	}
	return res, errorOrNone(outward(why))
}

// direct says where a call goes.
func direct(out *inmemory.Outgoing, cfg *callConfig) {
	out.Instance, out.WaitForReady, out.Replies = cfg.Instance, cfg.WaitForReady, cfg.untilReplies
	out.Silence = cfg.untilSilence
	out.Strategy, out.Key = cfg.Strategy.Choice(), cfg.Key
}

func (m inMemory) publish(p *eventPublication, out *inmemory.Outgoing, ev proto.Message) error {
	ack, why := m.memory.Publish(p, out, p.cfg.id, ev)
	if p.async {
		p.future = &PubFuture{}
		p.future.flight.Land(ack, why)
		return nil
	}
	p.ack = (*PubAck)(ack)
	return errorOrNone(outward(why))
}

func (m inMemory) send(p *commandPublication, out *inmemory.Outgoing, req proto.Message) error {
	var why *status.Status
	p.stored, why = m.memory.Send(p, out, &inmemory.Sending{
		Level: p.send.level, NotBefore: p.send.notBefore, Expiry: p.send.expiry, Key: p.send.key,
	}, req)
	return errorOrNone(outward(why))
}

// WrapClientStream opens streams and broadcasts.
func (m inMemory) WrapClientStream(ClientStreamFunc) ClientStreamFunc {
	return func(ctx context.Context) (AnyStream, error) {
		inv, ok := ctx.Value(invocationKey{}).(*invocation)
		if !ok {
			return nil, NewError(CodeInternal, "an interceptor of a client passed on a context that does not derive from its own")
		}
		out, err := m.outgoing(inv.call)
		if err != nil {
			return nil, err
		}
		direct(out, inv.cfg)
		if out.Method.Pattern == spec.Broadcast {
			b := &memoryReplies{ctx: ctx, memory: m.memory, out: out}
			inv.opened = b
			return b, nil
		}
		stream, why := m.memory.Open(ctx, out)
		if why != nil {
			return nil, outward(why)
		}
		if out.Term != nil {
			inv.call.term = Term(*out.Term)
		}
		s := &memoryStream{stream, inv.call}
		inv.opened = s
		return s, nil
	}
}

// memoryStream is the client's end of a stream.
type memoryStream struct {
	stream inmemory.Stream
	call   *Call
}

func (s *memoryStream) Send(m proto.Message) error { return endOfStream(s.stream.Send(m)) }
func (s *memoryStream) CloseSend() error           { return endOfStream(s.stream.CloseSend()) }
func (s *memoryStream) drop(why *Error)            { s.stream.Drop(why.inward()) }

func (s *memoryStream) Recv(m proto.Message) error {
	why := s.stream.Recv(m)
	header, trailer := s.stream.Metadata()
	s.call.response = header
	if why != nil {
		s.call.trailer = trailer
	}
	return endOfStream(why)
}

// memoryReplies is a broadcast.
type memoryReplies struct {
	ctx     context.Context //nolint:containedctx // the call's
	memory  inmemory.Memory
	out     *inmemory.Outgoing
	replies inmemory.Replies // nil before Send
	from    string
}

func (b *memoryReplies) Send(req proto.Message) error {
	if b.replies != nil {
		return Errorf(CodeInternal, "%s has one request, and another one was sent", b.out.Method.Desc.FullName())
	}
	var why *status.Status
	b.replies, why = b.memory.Broadcast(b.ctx, b.out, req)
	return errorOrNone(outward(why))
}

func (b *memoryReplies) Recv(res proto.Message) error {
	if b.replies == nil {
		return Errorf(CodeInternal, "%s has a request, which has to be sent before anything is received", b.out.Method.Desc.FullName())
	}
	var why *status.Status
	b.from, why = b.replies.Next(res)
	return endOfStream(why)
}

func (b *memoryReplies) CloseSend() error { return nil }

func (b *memoryReplies) takeSender() string {
	defer func() { b.from = "" }()
	return b.from
}

func (b *memoryReplies) drop(*Error) {
	if b.replies != nil {
		b.replies.Drop()
	}
}
