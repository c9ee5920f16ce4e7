package aegis

import (
	"context"
	"io"
	"iter"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/gather"
	"github.com/aegisrpc/aegis/runtime/internal/status"
)

// Reply is the reply of one instance to a broadcast.
type Reply[T any] struct {
	// Instance is the name of the instance, which ToInstance takes. It is "" if the
	// broadcast itself has failed: Err says why then, and no other reply follows.
	Instance string
	// Msg is the response; nil with an error.
	Msg *T
	// Err is an *Error, or nil: the error that the handler has returned or, for an instance
	// that has not answered, CodeDeadlineExceeded at the deadline and CodeUnavailable as
	// soon as the instance is known to be gone. IsWireError tells the two kinds apart.
	Err error
}

// UntilReplies ends a broadcast when n instances have answered, 1 to 1,000,000, and at the
// deadline. The registry is not asked then which instances should answer, so that an
// instance that has not answered is not named. As an option of a client it holds for its
// broadcasts; given to another call, or to a client of a service without a broadcast, it is
// an error with CodeInvalidArgument or ErrInvalidOption.
func UntilReplies(n int) CallOption {
	return callOption(func(c *callConfig) error {
		if n < 1 || n > maxReplies {
			return invalidOption("until %d replies: use 1 to %d", n, maxReplies)
		}
		c.untilReplies, c.given.Stop = n, "UntilReplies"
		return nil
	})
}

// UntilSilence ends a broadcast when no instance has answered for so long, and at the
// deadline; together with UntilReplies, at the first of the three. For the rest it is like
// UntilReplies.
func UntilSilence(d time.Duration) CallOption {
	return callOption(func(c *callConfig) error {
		if d <= 0 {
			return invalidOption("until silence of %v: must be positive", d)
		}
		c.untilSilence, c.given.Stop = d, "UntilSilence"
		return nil
	})
}

const maxReplies = 1_000_000

// BroadcastMethod is one broadcast of a Client. It is safe for concurrent use.
type BroadcastMethod[Req, Res any] struct{ streamMethod }

// Call returns the replies of all instances, as they come. Nothing is sent until the
// result is ranged over, see CollectReplies; each time that it is, the request is sent
// once. The replies end as soon as every instance has answered that is registered. At the
// deadline (the context's, else the method's timeout) each instance that has not answered
// has a reply that says so. To leave the loop early ends the contexts of the handlers that
// still run.
func (m *BroadcastMethod[Req, Res]) Call(ctx context.Context, req *Req, opts ...CallOption) iter.Seq[Reply[Res]] {
	return func(yield func(Reply[Res]) bool) {
		b, err := m.start(ctx, opts)
		if err != nil {
			yield(Reply[Res]{Err: err})
			return
		}
		defer b.inv.cancel()
		began, failure := time.Now(), (*Error)(nil) // the errors of instances are none of the broadcast
		m.calls.Figures.Begin()
		defer func() { m.calls.Figures.Done(began, failure.inward()) }()
		if core := b.inv.opened; core != nil {
			defer core.drop(nil)
		}
		if err := sendMessage(b, req); err != nil {
			failure = asError(err)
			yield(Reply[Res]{Err: failure})
			return
		}
		for {
			r, more := nextReply[Res](b)
			if r != nil && r.Err != nil && r.Instance == "" {
				failure = asError(r.Err)
			}
			if r != nil && !yield(*r) || !more {
				return
			}
		}
	}
}

// nextReply reads one reply.
func nextReply[Res any](b *begun) (reply *Reply[Res], more bool) {
	from := ""
	res, err := recvMessage[Res](b)
	if core, ok := b.inv.opened.(interface{ takeSender() string }); ok { // else an interceptor has made the replies up
		from = core.takeSender()
	}
	switch {
	case err == io.EOF: //nolint:errorlint // only the end itself is one
		return nil, false
	case err != nil:
		return &Reply[Res]{Instance: from, Err: asError(err)}, from != ""
	default:
		return &Reply[Res]{Instance: from, Msg: res}, true
	}
}

// broadcast is called by the innermost interceptor.
func (m *streamMethod) broadcast(ctx context.Context) (AnyStream, error) {
	inv, err := m.invocationOf(ctx)
	if err != nil {
		return nil, err
	}
	if inv.cfg.Instance != "" {
		return nil, Errorf(CodeInvalidArgument, "%s goes to all instances, not to %s alone", m.public.FullName(), inv.cfg.Instance)
	}
	conn := m.client.conn
	b := &broadcast{method: m, ctx: ctx, call: inv.call}
	b.gathering = gather.New(ctx, gather.Options{
		Context: conn.ctx, Bus: conn.bus, Subjects: conn.subjects, Patterns: conn.patterns,
	}, gather.Broadcast{
		Service: m.client.service, Method: m.method, Name: m.public.FullName(), Subject: m.calls.Subject, Cancel: m.calls.Cancel,
		Replies: inv.cfg.untilReplies, Silence: inv.cfg.untilSilence,
	})
	inv.opened = b
	return b, nil
}

// broadcast is a broadcast under way: a stream with one message to all instances, and a
// message back from each. It runs in the goroutine of its caller.
type broadcast struct {
	method    *streamMethod
	ctx       context.Context //nolint:containedctx // the call's
	call      *Call
	gathering *gather.Gathering
	sent      bool
	from      string // the instance that has sent what Recv returned last; "" if none has
}

// Send sends the request.
func (b *broadcast) Send(req proto.Message) error {
	m := b.method
	if b.sent {
		return Errorf(CodeInternal, "%s has one request, and another one was sent", m.public.FullName())
	}
	b.sent = true
	payload, err := proto.Marshal(req)
	if err != nil {
		return Errorf(CodeInvalidArgument, "the request of %s cannot be marshalled: %w", m.public.FullName(), err)
	}
	header := make(nats.Header, len(b.call.request)+1)
	if err := b.call.request.encodeTo(header); err != nil {
		return err
	}
	m.client.conn.void.Use(wire.KindAll)
	if b.gathering.Named() {
		if err := b.findMembers(); err != nil {
			return err
		}
	}
	return errorOrNone(outward(b.gathering.Send(header, payload)))
}

// findMembers asks the registry which instances should answer.
func (b *broadcast) findMembers() *Error {
	view, err := b.method.client.conn.directoryView(b.ctx, b.method.public.Service)
	if err != nil {
		return b.method.unknownMembers(asError(err))
	}
	defer view.Release()
	b.gathering.Expect(view.Instances())
	return nil
}

// unknownMembers is the error of a broadcast that was not sent, as it is not known which
// instances should answer.
func (m *streamMethod) unknownMembers(err *Error) *Error {
	switch err.Code() {
	case CodeCanceled: // by the caller, or with the connection
		return err.notRun(true)
	case CodeDeadlineExceeded: // to wait for fewer replies would not help
		return because(err, err.Code(), m.public.FullName()+" was not sent: "+err.Message()).notRun(true)
	default:
		return Errorf(err.Code(), "who should answer %s is not known, and neither UntilReplies nor UntilSilence says when to stop: %w",
			m.public.FullName(), err).notRun(true)
	}
}

// Recv reads the next reply.
func (b *broadcast) Recv(res proto.Message) error {
	if !b.sent {
		return Errorf(CodeInternal, "%s has a request, which has to be sent before anything is received", b.method.public.FullName())
	}
	var msg *nats.Msg
	var why *status.Status
	b.from, msg, why = b.gathering.Next()
	switch {
	case why == gather.End:
		return io.EOF
	case why != nil:
		return outward(why)
	case failed(msg):
		return decodeError(msg)
	}
	if err := proto.Unmarshal(msg.Data, res); err != nil {
		return Errorf(CodeInternal, "the reply of %s to %s is no valid %s: %w", b.from, b.method.public.FullName(), res.ProtoReflect().Descriptor().FullName(), err)
	}
	return nil
}

// CloseSend does nothing: there is one request.
func (b *broadcast) CloseSend() error { return nil }

// takeSender returns the instance that has sent the last reply, once.
func (b *broadcast) takeSender() string {
	defer func() { b.from = "" }()
	return b.from
}

// drop ends the broadcast.
func (b *broadcast) drop(*Error) { b.gathering.Close() }
