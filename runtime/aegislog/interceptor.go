package aegislog

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/aegisrpc/aegis/internal/streamend"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// Interceptor logs calls. It is safe for concurrent use.
type Interceptor struct {
	logger *slog.Logger
	levels Levels

	// Of the interceptor of one method; text is "" of the one that New returns.
	text string
	side aegis.Side
}

var _ aegis.MethodInterceptor = (*Interceptor)(nil)

// New returns an interceptor that logs to a logger, for all sides. The error is that of an
// option, or of a nil logger.
func New(logger *slog.Logger, opts ...Option) (*Interceptor, error) {
	if logger == nil {
		return nil, errors.New("aegislog: the logger is nil")
	}
	i := &Interceptor{logger: logger, levels: DefaultLevels}
	for _, o := range opts {
		if o == nil {
			return nil, errors.New("aegislog: an option is nil")
		}
		if err := o.apply(i); err != nil {
			return nil, err
		}
	}
	return i, nil
}

// ForMethod returns the interceptor of one method. The runtime calls it.
func (i *Interceptor) ForMethod(m aegis.Method, side aegis.Side) (aegis.Interceptor, error) {
	return i.of(m, side), nil
}

func (i *Interceptor) of(m aegis.Method, side aegis.Side) *Interceptor {
	one := *i
	one.side, one.text = side, "aegis: "+kindOf(m)
	one.logger = i.logger.With("method", m.FullName(), "side", side.String(), "pattern", m.Pattern().String())
	return &one
}

// kindOf says what a line is about.
func kindOf(m aegis.Method) string {
	switch p := m.Pattern(); {
	case p == aegis.PatternBroadcast, p == aegis.PatternEvent, p == aegis.PatternCommand:
		return p.String()
	case m.Descriptor != nil && (m.Descriptor.IsStreamingClient() || m.Descriptor.IsStreamingServer()):
		return "stream"
	default:
		return "call"
	}
}

// at returns the interceptor of the method of a call, also where another interceptor has
// wrapped i without asking for it.
func (i *Interceptor) at(ctx context.Context) *Interceptor {
	if i.text != "" {
		return i
	}
	call, ok := aegis.CallFromContext(ctx)
	if !ok {
		call = &aegis.Call{} // another interceptor has passed on a context of its own
	}
	return i.of(call.Method(), call.Side())
}

// WrapUnary logs unary calls, events and commands. The runtime calls it.
func (i *Interceptor) WrapUnary(next aegis.UnaryFunc) aegis.UnaryFunc {
	return func(ctx context.Context, req proto.Message) (res proto.Message, err error) {
		l := i.begin(ctx)
		defer func() { l.log(err) }() // also if next panics
		res, err = next(ctx, req)
		l.returned = true
		return res, err
	}
}

// WrapServerStream logs streams at their servers. The runtime calls it.
func (i *Interceptor) WrapServerStream(next aegis.ServerStreamFunc) aegis.ServerStreamFunc {
	return func(ctx context.Context, s aegis.AnyStream) (err error) {
		l := i.begin(ctx)
		counted := &stream{AnyStream: s}
		l.stream = counted
		defer func() { l.log(err) }()
		err = next(ctx, counted)
		l.returned = true
		return err
	}
}

// WrapClientStream logs streams and broadcasts at their clients: when the user has read the
// end, or has closed the stream or given it up. The runtime calls it.
func (i *Interceptor) WrapClientStream(next aegis.ClientStreamFunc) aegis.ClientStreamFunc {
	return func(ctx context.Context) (aegis.AnyStream, error) {
		l := i.begin(ctx)
		l.returned = true
		s, err := next(ctx)
		if err != nil {
			l.log(err)
			return nil, err
		}
		l.stream = &stream{AnyStream: s}
		return streamend.Watch(ctx, l.stream, l.log), nil
	}
}

// line is a line of the log that is still to be written.
type line struct {
	*Interceptor

	ctx      context.Context //nolint:containedctx // handlers of slog read values from it
	began    time.Time
	stream   *stream // nil of unary calls
	returned bool    // next did not panic
}

func (i *Interceptor) begin(ctx context.Context) *line {
	return &line{Interceptor: i.at(ctx), ctx: ctx, began: time.Now()}
}

// log writes the line of a call that has ended with err.
func (l *line) log(err error) {
	code := aegis.CodeOf(err)
	if !l.returned {
		code, err = aegis.CodeInternal, errPanic
	}
	level := l.levels(l.side, code)
	if !l.logger.Enabled(l.ctx, level) {
		return
	}
	name := "OK"
	if code != 0 {
		name = code.String()
	}
	attrs := make([]slog.Attr, 0, 9)
	attrs = append(attrs, slog.String("code", name), slog.Duration("duration", time.Since(l.began)))
	attrs = append(attrs, l.handler()...)
	if l.stream != nil {
		attrs = append(attrs, slog.Int64("sent", l.stream.sent.Load()), slog.Int64("received", l.stream.received.Load()))
	}
	if err != nil {
		if e, ok := errors.AsType[*aegis.Error](err); ok && e.Reason() != "" {
			attrs = append(attrs, slog.String("reason", e.Reason()))
		}
		attrs = append(attrs, slog.String("err", err.Error()))
	}
	l.logger.LogAttrs(l.ctx, level, l.text, attrs...)
}

// errPanic stands for the error of a handler that has none; the server logs the panic.
var errPanic = errors.New("the handler has panicked or has ended its goroutine")

// handler returns the attributes of the side of handlers.
func (l *line) handler() (attrs []slog.Attr) {
	call, ok := aegis.CallFromContext(l.ctx)
	if !ok || call.Instance() == "" {
		return nil
	}
	attrs = append(attrs, slog.String("instance", call.Instance()))
	if call.Attempt() > 1 {
		attrs = append(attrs, slog.Int("attempt", call.Attempt()))
	}
	if job, ok := aegis.JobFromContext(l.ctx); ok {
		attrs = append(attrs, slog.String("command", job.ID))
	}
	return attrs
}
