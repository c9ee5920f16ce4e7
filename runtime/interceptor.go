package aegis

import (
	"context"
	"slices"

	"google.golang.org/protobuf/proto"
)

// UnaryFunc makes or serves one unary call: at the client it does everything from here to
// the reply, at the server everything from here to the handler.
type UnaryFunc func(ctx context.Context, req proto.Message) (proto.Message, error)

// Interceptor wraps calls, at clients and at servers. The next interceptor, and in the end
// the handler, gets the context and the request that it passes on; the caller gets the
// response and the error that it returns. CallFromContext returns the method and the
// metadata. The first interceptor of a list is the outermost; the interceptors of a server
// are outside those of a service. A client's interceptors see a call once, however often
// it is tried.
//
// An Interceptor must be safe for concurrent use. Its wrap methods are called
// once for each method, when the client is made or the service is registered.
type Interceptor interface {
	WrapUnary(next UnaryFunc) UnaryFunc
	WrapClientStream(next ClientStreamFunc) ClientStreamFunc
	WrapServerStream(next ServerStreamFunc) ServerStreamFunc
}

// MethodInterceptor is an Interceptor that looks at each method first, so that nothing has
// to be worked out for each call, and calls that it does not want cost nothing.
type MethodInterceptor interface {
	Interceptor
	// ForMethod returns the interceptor of one method at one side, or nil for none: the
	// runtime calls the wrap methods of that one. An error is returned by the
	// constructor that WithInterceptors was given to, or the Register or Subscribe function.
	ForMethod(m Method, side Side) (Interceptor, error)
}

// ClientStreamFunc opens a stream at the client. The context ends when the end of the
// stream has been read, and when the stream is closed. If the method has one request, the
// first Send opens the stream at the server.
type ClientStreamFunc func(ctx context.Context) (AnyStream, error)

// ServerStreamFunc serves a stream: it does everything from here to the handler.
type ServerStreamFunc func(ctx context.Context, s AnyStream) error

// AnyStream is a stream as interceptors see it: with messages of any type. A method with one
// request, or with one response, is a stream with one message in that direction. One
// goroutine may call Send while another calls Recv.
type AnyStream interface {
	// Send sends a message. The error is io.EOF at a client whose server has ended the
	// stream, of which Recv says why.
	Send(msg proto.Message) error
	// Recv waits for the next message and reads it into msg. The error is io.EOF at the end
	// of the stream.
	Recv(msg proto.Message) error
	// CloseSend tells, at a client, the server that there are no more requests. At a
	// server it does nothing.
	CloseSend() error
}

// InterceptorFunc makes an Interceptor of a function for unary calls. Streams
// pass it as they are.
type InterceptorFunc func(next UnaryFunc) UnaryFunc

// WrapUnary calls f.
func (f InterceptorFunc) WrapUnary(next UnaryFunc) UnaryFunc { return f(next) }

// WrapClientStream returns next.
func (f InterceptorFunc) WrapClientStream(next ClientStreamFunc) ClientStreamFunc { return next }

// WrapServerStream returns next.
func (f InterceptorFunc) WrapServerStream(next ServerStreamFunc) ServerStreamFunc { return next }

// wrapped returns next inside a chain of interceptors, each of which wraps it by a method.
func wrapped[F any](by func(Interceptor, F) F, next F, chain []Interceptor) F {
	for _, in := range slices.Backward(chain) {
		next = by(in, next)
	}
	return next
}
