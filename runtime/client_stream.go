package aegis

import (
	"context"
	"errors"
	"io"
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/rpcstream"
	"github.com/aegisrpc/aegis/runtime/internal/rpcstream/flow"
	"github.com/aegisrpc/aegis/runtime/internal/status"
)

// openTimeout bounds the wait until a server takes a stream, unless the context has a
// deadline.
const openTimeout = 5 * time.Second

// streamMethod is one streaming method of a Client.
type streamMethod struct {
	clientMethod
	// open opens a stream through the interceptors.
	open ClientStreamFunc
}

func newStreamMethod(c *Client, name protoreflect.Name) streamMethod {
	m := streamMethod{clientMethod: newClientMethod(c, name)}
	m.open = wrapped(Interceptor.WrapClientStream, m.openBeneath, c.chains[string(name)])
	return m
}

// begun is a stream as its user has it: the AnyStream of the outermost interceptor, and the
// one beneath all interceptors.
type begun struct {
	AnyStream
	core *clientStream // nil of a broadcast, and if an interceptor has returned a stream of its own
	inv  *invocation
}

// start opens a stream. The context of the stream ends when its end has been read, and when
// it is closed.
func (m *streamMethod) start(ctx context.Context, opts []CallOption) (*begun, error) {
	cfg, err := m.config(opts)
	if err != nil {
		return nil, err
	}
	inv := m.newInvocation(ctx, cfg)
	inv.call.response, inv.call.trailer, inv.call.term = nil, nil, Term{}
	if _, ok := ctx.Deadline(); !ok && m.method.Timeout > 0 {
		inv.Context, inv.cancel = context.WithTimeout(ctx, m.method.Timeout)
	} else {
		inv.Context, inv.cancel = context.WithCancel(ctx)
	}
	s, err := m.open(inv)
	switch {
	case err != nil:
	case s == nil:
		err = Errorf(CodeInternal, "an interceptor of the client of %s returned neither a stream nor an error", m.public.FullName())
	default:
		core, _ := inv.opened.(*clientStream)
		return &begun{s, core, inv}, nil
	}
	if inv.opened != nil {
		inv.opened.drop(asError(err))
	}
	inv.cancel()
	return nil, asError(err)
}

// openBeneath is called by the innermost interceptor.
func (m *streamMethod) openBeneath(ctx context.Context) (AnyStream, error) {
	inv, err := m.invocationOf(ctx)
	if err != nil {
		return nil, err
	}
	s := m.newStream(ctx, inv.cfg, inv.call)
	if s.requests {
		if err := s.dial(nil, nil); err != nil {
			return nil, err
		}
	}
	inv.opened = s
	return s, nil
}

func (m *clientMethod) newStream(ctx context.Context, cfg *callConfig, call *Call) *clientStream {
	s := &clientStream{method: m, ctx: ctx, cfg: cfg, call: call}
	most := m.method.MaxMessageBytes
	s.first = s.Init(&m.client.conn.streams,
		rpcstream.Config{Name: m.public.FullName(), MaxMessage: most, Window: windowFor(cfg.window, most), Ended: s.count},
		func() {}) // the context ends later, when the user has read the end
	s.requests = m.public.Descriptor.IsStreamingClient()
	return s
}

// clientStream is the client's end of a stream.
type clientStream struct {
	messageStream
	method   *clientMethod
	first    flow.Window     // of the server's messages, at first
	requests bool            // the requests of the method are a stream
	ctx      context.Context //nolint:containedctx // the stream's
	cfg      *callConfig
	call     *Call
	dialed   bool // a server was asked to take the stream; the writer's own
	told     bool // the call has the server's metadata; the reader's own
	metadata serverMetadata
	began    time.Time    // when the first server was asked
	took     atomic.Int64 // nanoseconds from then until a server had taken the stream; 0: none has

	// Of a unary call that may travel in parts; see client_parts.go.
	chunked  string        // the header that says so
	result   proto.Message // gets the response
	answered bool          // the reply came in one message
}

// Send sends a message. Where the requests of the method are no stream, the one request
// opens the stream.
func (s *clientStream) Send(m proto.Message) error {
	switch {
	case s.requests:
		return s.send(m)
	case s.dialed:
		return Errorf(CodeInternal, "%s has one request, and another one was sent", s.Name)
	default:
		return s.dialWith(m)
	}
}

// Recv reads a message into m.
func (s *clientStream) Recv(m proto.Message) error {
	if !s.dialed {
		return Errorf(CodeInternal, "%s has a request, which has to be sent before anything is received", s.Name)
	}
	err := s.recv(m)
	if err != nil || !s.told {
		s.tellMetadata(err != nil)
	}
	return err
}

// tellMetadata gives the call the server's metadata; end says that the stream has ended.
func (s *clientStream) tellMetadata(end bool) {
	header, trailer := s.metadata.read(&s.Stream)
	s.call.response, s.told = header, true
	if end {
		s.call.trailer = trailer
	}
}

// CloseSend tells the server that there are no more requests.
func (s *clientStream) CloseSend() error {
	if !s.requests {
		return nil
	}
	return s.closeSend()
}

func (s *clientStream) dialWith(req proto.Message) error {
	payload, err := proto.Marshal(req)
	if err != nil {
		return Errorf(CodeInvalidArgument, "the request of %s cannot be marshalled: %w", s.Name, err).notRun(true)
	}
	return s.dial(payload, req)
}

// dial asks servers until one has taken the stream or refused it. An instance may be picked
// by a key in req, which is nil where the requests are a stream.
func (s *clientStream) dial(payload []byte, req proto.Message) error {
	if err := s.ctx.Err(); err != nil {
		return asError(err).notRun(true)
	}
	s.dialed, s.began = true, time.Now()
	if s.result == nil { // else invoke counts the call
		s.method.calls.Figures.Begin()
	}
	conn := s.method.client.conn
	conn.void.Use(wire.KindIn)
	conn.streams.Add(&s.Stream, s.result == nil) // most replies of unary calls are small
	slot := conn.bus.Acquire()
	defer conn.bus.Release(slot)
	s.Asking(slot)
	err := s.ask(slot, payload, req)
	s.Asked()
	if err != nil {
		s.End(&asError(err).st, rpcstream.Dropping)
		return err
	}
	if s.answered {
		s.End(nil, 0)
		return nil
	}
	s.Watch(s.ctx, func() { s.Abort(status.Of(s.ctx.Err()), rpcstream.Dropping) })
	return nil
}

// ask sends the request that opens the stream, as often as that is needed.
func (s *clientStream) ask(slot *bus.Slot, payload []byte, req proto.Message) error {
	m := s.method
	slot.Payload = append(slot.Payload[:0], payload...)
	now := time.Now()
	c := m.calls.Begin(s.ctx, slot, now, &s.cfg.Choice)
	if err := m.describe(&c, s.call); err != nil {
		return err
	}
	c.Stream = opening{s}
	if _, ok := s.ctx.Deadline(); !ok {
		c.Deadline, c.Endless = now.Add(openTimeout), true
	}
	s.open(&c.Header)
	why := c.Run(req, nil)
	s.call.answered(&c.Answer)
	if why == nil {
		return nil
	}
	if !why.NotRun && (why.Code == status.DeadlineExceeded || why.Code == status.DataLoss) { // a server may have taken the stream
		_ = m.client.conn.nc.Publish(m.calls.Cancel, []byte(s.Own())) // if it is lost, the server asks whether this client is there
	}
	return outward(why)
}

// open adds to a header, which is nil without metadata, what the open of the stream says.
func (s *clientStream) open(header *nats.Header) {
	if *header == nil && (s.first != defaultWindow() || s.chunked != "") {
		*header = make(nats.Header, 2)
	}
	if s.chunked != "" {
		(*header)[wire.HeaderChunked] = []string{s.chunked}
	}
	if s.first != defaultWindow() && (s.chunked == "" || s.first.Bytes != chunkWindow) {
		(*header)[wire.HeaderWindow] = []string{wire.FormatWindow(s.first.Messages, s.first.Bytes)}
	}
}

// opening is a stream while its open is under way.
type opening struct{ *clientStream }

// Accepted takes the answer of a server that has not refused the stream.
func (s opening) Accepted(msg *nats.Msg, target string) *status.Status {
	s.took.Store(int64(time.Since(s.began)))
	answered, why := s.Accept(msg, target, s.result != nil)
	if answered {
		return s.answer(msg)
	}
	return why
}

// count counts the stream when it ends, with the time until a server had taken it: how long
// it was open says nothing of that.
func (s *clientStream) count(why *status.Status) {
	if s.result != nil || !s.dialed {
		return
	}
	took := time.Duration(s.took.Load())
	if took == 0 {
		took = time.Since(s.began)
	}
	s.method.calls.Figures.DoneAt(time.Now(), took, why)
}

// drop ends the stream, and throws away what was not read.
func (s *clientStream) drop(why *Error) { s.Abort(&why.st, rpcstream.Dropping) }

// serverMetadata is the metadata that a server has sent in a stream. It is decoded once, so
// that its user may change it.
type serverMetadata struct {
	mu              sync.Mutex // guards the fields below
	header, trailer Header
}

func (m *serverMetadata) read(s *rpcstream.Stream) (header, trailer Header) {
	h, t := s.Metadata()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.header == nil && h != nil {
		m.header, _ = decodeHeader(h) // headers that are no metadata are left out
	}
	if m.trailer == nil && t != nil {
		m.trailer, _ = decodeHeader(t)
	}
	return m.header, m.trailer
}

// ServerStreamMethod is one method of a Client whose responses are a stream. It
// is safe for concurrent use.
type ServerStreamMethod[Req, Res any] struct{ streamMethod }

// Open sends the request and returns the stream of responses when a server has taken it.
// Without a deadline of ctx, or a timeout of the method, it waits for that up to 5 s, and
// the stream has no deadline. Close the Receiver, or read it to its end. The error is an
// *Error.
func (m *ServerStreamMethod[Req, Res]) Open(ctx context.Context, req *Req, opts ...CallOption) (Receiver[Res], error) {
	b, err := m.start(ctx, opts)
	if err != nil {
		return nil, err
	}
	if err = sendMessage(b, req); err == nil {
		err = b.CloseSend()
	}
	if err != nil {
		b.close()
		return nil, asError(err)
	}
	return clientReceiver[Res]{b}, nil
}

// ClientStreamMethod is one method of a Client whose requests are a stream. It
// is safe for concurrent use.
type ClientStreamMethod[Req, Res any] struct{ streamMethod }

// Open returns the stream when a server has taken it; for deadlines and errors see
// ServerStreamMethod.
func (m *ClientStreamMethod[Req, Res]) Open(ctx context.Context, opts ...CallOption) (UploadStream[Req, Res], error) {
	b, err := m.start(ctx, opts)
	if err != nil {
		return nil, err
	}
	return requestStream[Req, Res]{b}, nil
}

// BidiStreamMethod is one method of a Client whose requests and responses are
// streams. It is safe for concurrent use.
type BidiStreamMethod[Req, Res any] struct{ streamMethod }

// Open returns the stream when a server has taken it; for deadlines and errors see
// ServerStreamMethod.
func (m *BidiStreamMethod[Req, Res]) Open(ctx context.Context, opts ...CallOption) (BidiStream[Req, Res], error) {
	b, err := m.start(ctx, opts)
	if err != nil {
		return nil, err
	}
	return bidiStream[Req, Res]{clientReceiver[Res]{b}}, nil
}

// close ends the stream and its context.
func (b *begun) close() {
	if b.core != nil {
		b.core.drop(NewError(CodeCanceled, "the stream was closed by its reader"))
	}
	b.inv.cancel()
}

// clientReceiver is the Receiver of a client.
type clientReceiver[T any] struct{ b *begun }

func (r clientReceiver[T]) Recv() (*T, error) {
	m, err := recvMessage[T](r.b)
	if err != nil {
		r.b.inv.cancel()
	}
	return m, err
}

func (r clientReceiver[T]) All() iter.Seq2[*T, error] { return all(r.Recv) }

func (r clientReceiver[T]) Header() Header {
	if r.b.core == nil {
		return r.b.inv.call.ResponseHeader()
	}
	header, _ := r.b.core.metadata.read(&r.b.core.Stream)
	return notNil(header)
}

func (r clientReceiver[T]) Trailer() Header {
	if r.b.core == nil {
		return r.b.inv.call.ResponseTrailer()
	}
	_, trailer := r.b.core.metadata.read(&r.b.core.Stream)
	return notNil(trailer)
}

func (r clientReceiver[T]) Close() error {
	r.b.close()
	return nil
}

// bidiStream is the BidiStream of a client.
type bidiStream[Req, Res any] struct{ clientReceiver[Res] }

func (s bidiStream[Req, Res]) Send(m *Req) error { return sendMessage(s.b, m) }

func (s bidiStream[Req, Res]) CloseSend() error {
	if err := s.b.CloseSend(); err != nil {
		return streamError(err)
	}
	return nil
}

// requestStream is the UploadStream of a client.
type requestStream[Req, Res any] struct{ b *begun }

func (s requestStream[Req, Res]) Send(m *Req) error { return sendMessage(s.b, m) }

// CloseAndRecv reads the response. Another response behind it is an error.
func (s requestStream[Req, Res]) CloseAndRecv() (*Res, error) {
	defer s.b.close()
	if err := s.b.CloseSend(); err != nil && !errors.Is(err, io.EOF) {
		return nil, asError(err)
	}
	name := s.b.inv.call.method.FullName()
	res, err := recvMessage[Res](s.b)
	if err == io.EOF { //nolint:errorlint // only the end itself is one
		return nil, Errorf(CodeInternal, "the server of %s ended the stream without a response", name)
	} else if err != nil {
		return nil, err
	}
	switch _, err := recvMessage[Res](s.b); {
	case err == nil:
		return nil, Errorf(CodeInternal, "the server of %s sent more than one response", name)
	case err != io.EOF: //nolint:errorlint // see above
		return nil, err
	}
	return res, nil
}

func notNil(h Header) Header {
	if h == nil {
		return Header{}
	}
	return h
}
