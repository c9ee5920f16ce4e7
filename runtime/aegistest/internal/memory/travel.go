package memory

import (
	"context"
	"errors"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/aegisrpc/aegis/internal/spec"
	"github.com/aegisrpc/aegis/runtime/internal/inmemory"
	"github.com/aegisrpc/aegis/runtime/internal/status"
)

// copied returns a message as it is after it has travelled, and its bytes; what says whose
// message it is.
func copied(m proto.Message, code status.Code, what string) (proto.Message, []byte, *status.Status) {
	b, err := proto.Marshal(m)
	if err != nil {
		return nil, nil, status.Newf(code, "%s cannot be marshalled: %w", what, err).WithNotRun(code == status.InvalidArgument)
	}
	out := m.ProtoReflect().New().Interface()
	if err := proto.Unmarshal(b, out); err != nil {
		return nil, nil, status.Newf(code, "%s cannot be unmarshalled: %w", what, err).WithNotRun(code == status.InvalidArgument)
	}
	return out, b, nil
}

// travelled returns the error of a handler as its caller gets it.
func travelled(err error) *status.Status {
	return overWire(inmemory.ForTests().Handled(err))
}

// overWire returns a status as the other side reads it.
func overWire(s *status.Status) *status.Status {
	header := make(map[string][]string, 4)
	body := s.Encode(header, false)
	return status.Decode(header, body)
}

// withDeadline returns ctx with the timeout of a method, unless it has a deadline.
func withDeadline(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok || timeout <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, timeout)
}

// handlerContext returns the context of a handler of a server: it ends with that of the
// caller, and has none of its values.
func handlerContext(ctx context.Context, base context.Context) (context.Context, context.CancelFunc) {
	cancel := context.CancelFunc(func() {})
	if deadline, ok := ctx.Deadline(); ok {
		base, cancel = context.WithDeadline(base, deadline)
	} else {
		base, cancel = context.WithCancel(base)
	}
	stop := context.AfterFunc(ctx, func() {
		if !errors.Is(ctx.Err(), context.DeadlineExceeded) { // else base ends by itself, and says so
			cancel()
		}
	})
	return base, func() { stop(); cancel() }
}

// handling returns what a handler learns from its context.
func handling(s *server, m *spec.Method, header map[string][]string) *inmemory.Handling {
	return &inmemory.Handling{Method: m.Desc, Instance: s.Instance, Attempt: 1, Header: header}
}
