package aegis

import (
	"context"
	"slices"

	"google.golang.org/protobuf/proto"
)

// UnaryFunc is one unary call: at the client everything from here to the reply,
// at the server everything from here to the handler.
type UnaryFunc func(ctx context.Context, req proto.Message) (proto.Message, error)

// Interceptor wraps calls, at clients and at servers. The context and the
// request that it passes on are what the next one, and in the end the handler,
// gets; the response and the error that it returns are what the caller gets.
// CallFromContext returns the method and the metadata. The first interceptor of
// a list is the outermost; those of a server are outside those of a service. A
// client's interceptors see a call once, however often it is tried.
//
// An Interceptor must be safe for concurrent use. Its wrap methods are called
// once for each method, when the client is made or the service is registered.
type Interceptor interface {
	WrapUnary(next UnaryFunc) UnaryFunc
}

// InterceptorFunc makes an Interceptor of a function.
type InterceptorFunc func(next UnaryFunc) UnaryFunc

// WrapUnary calls f.
func (f InterceptorFunc) WrapUnary(next UnaryFunc) UnaryFunc { return f(next) }

func wrapUnary(next UnaryFunc, interceptors []Interceptor) UnaryFunc {
	for _, in := range slices.Backward(interceptors) {
		next = in.WrapUnary(next)
	}
	return next
}
