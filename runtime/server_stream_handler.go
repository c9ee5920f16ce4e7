package aegis

import (
	"context"
	"errors"
	"iter"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/aegisrpc/aegis/runtime/internal/leaderview"
)

// handlerStream is the stream that a handler's receiver and sender share.
type handlerStream struct {
	AnyStream            // as the interceptors have wrapped it
	core      handlerEnd // without interceptors
}

// handlerEnd is a handler's end of a stream.
type handlerEnd interface {
	callOf() *Call
	// Discard throws away what the client sends.
	Discard()
}

func newHandlerStream(ctx context.Context, s AnyStream, name protoreflect.Name) (handlerStream, error) {
	core, ok := ctx.Value(serverStreamKey{}).(handlerEnd)
	if !ok {
		return handlerStream{}, Errorf(CodeInternal, "an interceptor of the server of %s passed on a context that does not derive from its own", name)
	}
	return handlerStream{s, core}, nil
}

type sender[T any] struct{ handlerStream }

func newSender[T any](ctx context.Context, s AnyStream, name protoreflect.Name) (Sender[T], error) {
	h, err := newHandlerStream(ctx, s, name)
	return sender[T]{h}, err
}

func (s sender[T]) Send(m *T) error { return sendMessage(s.AnyStream, m) }

func (s sender[T]) Header() Header { return s.core.callOf().ResponseHeader() }

func (s sender[T]) Trailer() Header { return s.core.callOf().ResponseTrailer() }

type handlerReceiver[T any] struct{ handlerStream }

func newHandlerReceiver[T any](ctx context.Context, s AnyStream, name protoreflect.Name) (Receiver[T], error) {
	h, err := newHandlerStream(ctx, s, name)
	return handlerReceiver[T]{h}, err
}

func (r handlerReceiver[T]) Recv() (*T, error) { return recvMessage[T](r.AnyStream) }

func (r handlerReceiver[T]) All() iter.Seq2[*T, error] { return all(r.Recv) }

func (r handlerReceiver[T]) Header() Header { return r.core.callOf().RequestHeader() }

func (r handlerReceiver[T]) Trailer() Header { return Header{} }

func (r handlerReceiver[T]) Close() error {
	r.core.Discard()
	return nil
}

type serverStreamKey struct{}

func (st *serverStream) callOf() *Call { return &st.call }

// streamContext is the context of a stream's handler.
type streamContext struct {
	context.Context //nolint:containedctx // it is a context
	stream          *serverStream
}

func (c *streamContext) Value(key any) any {
	switch key.(type) {
	case currentKey:
		return &c.stream.call
	case serverStreamKey:
		return c.stream
	default:
		return c.Context.Value(key)
	}
}

// contextError returns why the handler's context has ended before the stream.
func (st *serverStream) contextError() *Error {
	switch err := st.ctx.Err(); {
	case st.term != nil && st.term.Base.Err() != nil && st.server.base.Err() == nil:
		return outward(leaderview.Lost(st.call.method.Service, st.term.Group))
	case errors.Is(err, context.DeadlineExceeded):
		return asError(err)
	default:
		return st.server.endedByStop()
	}
}
