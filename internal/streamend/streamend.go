// Package streamend tells interceptors when a stream or a broadcast has ended at its client,
// which none of its methods does by itself.
package streamend

import (
	"cmp"
	"context"
	"errors"
	"io"
	"sync"

	"google.golang.org/protobuf/proto"

	aegis "github.com/aegisrpc/aegis/runtime"
)

// Watch returns s for the interceptor of a client to return, and calls ended once, when the
// user has read the end of the stream, has closed the stream, or has given it up. The error
// is nil for a stream that has ended well. ctx is the context with which the interceptor has
// opened the stream.
func Watch(ctx context.Context, s aegis.AnyStream, ended func(err error)) aegis.AnyStream {
	w := &watched{AnyStream: s, single: sendsOne(ctx), ended: ended}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.unwatch = context.AfterFunc(ctx, func() { // ctx may have ended already
		w.mu.Lock()
		err := cmp.Or(w.unsent, ctx.Err()) // a user may give up after a message that could not be sent
		w.mu.Unlock()
		w.end(err)
	})
	return w
}

// sendsOne reports whether the method of a call has one request, whose Send opens the stream.
func sendsOne(ctx context.Context) bool {
	call, ok := aegis.CallFromContext(ctx)
	return ok && call.Method().Descriptor != nil && !call.Method().Descriptor.IsStreamingClient()
}

// watched is a stream whose end is told.
type watched struct {
	aegis.AnyStream

	single bool // the method has one request
	ended  func(error)
	once   sync.Once // calls ended

	mu      sync.Mutex  // guards the rest
	unwatch func() bool // ends the watching of the context
	unsent  error       // the error of the last Send, but for io.EOF
}

// Send does not end the stream, but for the one request of a method: a stream goes on after a
// message that was too large, and after other errors Recv says why the stream has ended.
func (w *watched) Send(m proto.Message) error {
	err := w.AnyStream.Send(m)
	w.mu.Lock()
	if w.unsent = err; errors.Is(err, io.EOF) {
		w.unsent = nil
	}
	w.mu.Unlock()
	if err != nil && w.single {
		w.end(err)
	}
	return err
}

// Recv ends the stream when it returns the end, or why the stream has ended.
func (w *watched) Recv(m proto.Message) error {
	err := w.AnyStream.Recv(m)
	switch {
	case errors.Is(err, io.EOF):
		w.end(nil)
	case err != nil:
		w.end(err)
	}
	return err
}

func (w *watched) end(err error) {
	w.once.Do(func() {
		w.mu.Lock()
		unwatch := w.unwatch
		w.mu.Unlock()
		unwatch()
		w.ended(err)
	})
}
