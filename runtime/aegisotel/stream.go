package aegisotel

import (
	"context"

	"github.com/aegisrpc/aegis/internal/streamend"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// WrapClientStream makes a span of each stream at its client. The span ends when the user
// has read the end of the stream, or has closed the stream or given it up. The runtime
// calls WrapClientStream.
func (i *Interceptor) WrapClientStream(next aegis.ClientStreamFunc) aegis.ClientStreamFunc {
	var m cached
	return func(ctx context.Context) (aegis.AnyStream, error) {
		ctx, op := i.beginSpan(ctx, &m)
		op.returned = true
		s, err := next(ctx)
		if err != nil {
			op.endSpan(err)
			return nil, err
		}
		return streamend.Watch(ctx, s, op.endSpan), nil
	}
}

// WrapServerStream makes a span of each stream at its server: as long as the handler runs.
// The runtime calls it.
func (i *Interceptor) WrapServerStream(next aegis.ServerStreamFunc) aegis.ServerStreamFunc {
	var m cached
	return func(ctx context.Context, s aegis.AnyStream) (err error) {
		ctx, op := i.beginSpan(ctx, &m)
		defer func() { op.endSpan(err) }() // also if next panics
		err = next(ctx, s)
		op.returned = true
		return err
	}
}
