package aegis

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/leaderview"
	"github.com/aegisrpc/aegis/runtime/internal/metadata"
	"github.com/aegisrpc/aegis/runtime/internal/rpcstream"
	"github.com/aegisrpc/aegis/runtime/internal/rpcstream/flow"
)

// serverStreams are the streams that a server has, and their handlers, each with
// a goroutine of its own: workers are for unary calls.
type serverStreams struct {
	hub rpcstream.Hub
	sub *nats.Subscription // nil without streaming methods

	mu       sync.Mutex
	handlers map[*serverStream]struct{}
	ofTerms  int // handlers of single active methods
	stopping bool
	replied  bool          // no unary call runs any more whose reply may become a stream
	led      chan struct{} // closed when the server stops and no handler of a term runs
	idle     chan struct{} // the same of all handlers
}

// serverStream is a server's end of a stream.
type serverStream struct {
	messageStream
	server   *Server
	method   *serverMethod
	call     Call
	ctx      context.Context //nolint:containedctx // the handler's
	term     *term           // nil unless the method is single active
	named    bool            // the ack names the term, as the subject of the open did not
	handler  ServerStreamFunc
	request  []byte // the open's payload, where it is the one request
	counted  bool   // the figures of the method have the call already
	unary    bool   // it counts as a unary call of its service
	asked    bool   // the handler has read it
	requests bool   // the client sends messages
	headed   bool   // the header was sent, or there is none
	arrived  time.Time
	// answered is when the first response was sent.
	answered time.Time
}

// prepareStreams makes what serves streams, before anything arrives.
func (s *Server) prepareStreams() {
	s.streams.handlers = make(map[*serverStream]struct{})
	s.streams.led, s.streams.idle = make(chan struct{}), make(chan struct{})
	s.streams.hub.Init(s.conn.streaming, s.conn.subjects.In(s.process), true)
}

// listenToStreams subscribes to what clients send in streams.
func (s *Server) listenToStreams() error {
	for _, service := range s.services {
		for _, m := range service.methods {
			if m.stream == nil && m.method.MaxMessageBytes == 0 || s.streams.sub != nil {
				continue
			}
			sub, err := s.conn.nc.Subscribe(s.streams.hub.Prefix+"*", s.streamFrame)
			if err != nil {
				return err
			}
			s.streams.sub = sub
			// What is pending is bounded by the windows.
			if err := sub.SetPendingLimits(-1, -1); err != nil {
				return err
			}
		}
	}
	return nil
}

// streamFrame is called by the one goroutine of the subscription.
func (s *Server) streamFrame(msg *nats.Msg) {
	token := msg.Subject[len(s.streams.hub.Prefix):]
	if token != wire.CallerAliveToken {
		s.streams.hub.Deliver(token, msg)
	} else if msg.Reply != "" {
		_ = s.conn.nc.Publish(msg.Reply, nil) // a client asks whether the server is there; it asks again
		s.streams.hub.AskedBy(msg.Reply)
	}
}

// openStream takes a stream or refuses it.
func (s *Server) openStream(to *route, msg *nats.Msg, now time.Time) {
	st, err := s.acceptStream(to, msg, now)
	switch {
	case err != nil:
		to.method.stats.refused(now, err)
		s.refuse(msg, err)
	case st != nil:
		to.method.stats.begin()
		go st.run()
	}
}

func (s *Server) acceptStream(to *route, msg *nats.Msg, now time.Time) (*serverStream, *Error) {
	m := to.method
	var r metadata.Request
	if st := r.Read(msg, m.method.Timeout); st != nil {
		return nil, outward(st)
	}
	window, err := clientWindow(msg.Header, m.stream == nil)
	if err != nil {
		return nil, err
	}
	if !m.spec.Idempotent && s.pulse.Stale(now) {
		return nil, refusal(CodeUnavailable, ReasonStale, "%s was paused, and how long this call has waited is unknown", s.cfg.instance)
	}
	if to.lead != nil {
		if to.term = to.activeTerm(s.clock.Now()); to.term == nil {
			return nil, notActive(s.cfg.instance, to.lead)
		}
	}
	st := &serverStream{
		handler: m.stream,
		server:  s, method: m, term: to.term, named: to.named, arrived: now,
		call: Call{spec: m.spec, instance: s.cfg.instance, attempt: r.Attempt, request: r.User},
	}
	switch {
	case m.stream == nil:
		if err := m.checkSize(msg); err != nil {
			return nil, err
		}
		st.handler, st.unary, st.requests = m.serveInParts, true, true
	case m.spec.Descriptor.IsStreamingClient():
		st.requests = true
	default:
		st.request = msg.Data
	}
	if err := s.admit(st); err != nil {
		return nil, err
	}
	most := m.method.MaxMessageBytes
	st.begin(rpcstream.Config{
		Name: m.name, To: msg.Reply, JSON: r.JSON, MaxMessage: most, Window: windowFor(s.cfg.window, most), Limit: window,
	}, r.Timeout)
	if !s.startStream(st) {
		return nil, nil
	}
	return st, nil
}

// clientWindow is what a client lets come at first.
func clientWindow(h nats.Header, inParts bool) (flow.Limit, *Error) {
	w := h.Get(wire.HeaderWindow)
	switch {
	case w == "" && inParts:
		return flow.Limit{Seq: wire.DefaultWindowMessages, Bytes: chunkWindow}, nil
	case w == "":
		return flow.Limit{Seq: wire.DefaultWindowMessages, Bytes: wire.DefaultWindowBytes}, nil
	}
	messages, bytes, ok := wire.ParseWindow(w)
	if !ok {
		return flow.Limit{}, Errorf(CodeInvalidArgument, "%s %s is not a number of messages and one of bytes with a comma between them, 1 to %d each",
			wire.HeaderWindow, quote(w), wire.MaxWindow)
	}
	return flow.Limit{Seq: messages, Bytes: bytes}, nil
}

// startStream lets a stream begin, unless nobody wants it.
func (s *Server) startStream(st *serverStream) bool {
	if !s.streams.hub.Add(&st.Stream, st.requests) || s.pool.Canceled(st.To) {
		st.leave() // NATS has delivered it twice; or nobody wants it any more
		return false
	}
	st.acknowledge()
	st.Watch(st.ctx, func() { st.Abort(&st.contextError().st, 0) })
	return true
}

// admit counts a stream, unless there are too many.
func (s *Server) admit(st *serverStream) *Error {
	s.streams.mu.Lock()
	defer s.streams.mu.Unlock()
	switch {
	case s.streams.stopping:
		return refusal(CodeUnavailable, ReasonStopping, "%s is stopping", s.cfg.instance)
	case len(s.streams.handlers) >= s.cfg.maxStreams:
		return refusal(CodeResourceExhausted, ReasonOverloaded, "%s has %d open streams, as many as it may", s.cfg.instance, s.cfg.maxStreams)
	}
	if service := st.method.service; st.unary && service.running.Add(1) > service.max {
		service.running.Add(-1)
		return service.overload
	}
	s.streams.count(st)
	return nil
}

// admitReply counts a stream that is the reply of a call. There is room for it in
// any case, and a stopping server waits for it.
func (s *Server) admitReply(st *serverStream) {
	s.streams.mu.Lock()
	defer s.streams.mu.Unlock()
	s.streams.count(st)
}

// count is called with s.mu held.
func (s *serverStreams) count(st *serverStream) {
	s.handlers[st] = struct{}{}
	if st.term != nil {
		s.ofTerms++
	}
}

// leave is the end of what admit began.
func (st *serverStream) leave() {
	st.End(nil, rpcstream.Dropping) // if it has not ended
	if st.unary {
		st.method.service.running.Add(-1)
	}
	streams := &st.server.streams
	streams.mu.Lock()
	defer streams.mu.Unlock()
	delete(streams.handlers, st)
	if st.term != nil {
		streams.ofTerms--
	}
	streams.look()
}

// look closes what a stopping server waits for; s.mu is held.
func (s *serverStreams) look() {
	if !s.stopping {
		return
	}
	if s.ofTerms == 0 {
		closeOnce(s.led)
	}
	if len(s.handlers) == 0 && s.replied {
		closeOnce(s.idle)
	}
}

// closeOnce closes a channel unless it is closed; nothing is ever sent on it.
func closeOnce(c chan struct{}) {
	select {
	case <-c:
	default:
		close(c)
	}
}

// begin makes the stream and the handler's context.
func (st *serverStream) begin(c rpcstream.Config, timeout time.Duration) {
	base := st.server.base
	if st.term != nil {
		base, st.call.term = st.term.Base, Term(st.term.Info)
	}
	var stop context.CancelFunc
	if timeout > 0 {
		st.ctx, stop = context.WithTimeout(base, timeout)
	} else {
		st.ctx, stop = context.WithCancel(base)
	}
	st.ctx = &streamContext{st.ctx, st}
	st.messageStream.server = true
	st.Init(&st.server.streams.hub, c, stop)
}

// contextError is why the context ended before the stream.
func (st *serverStream) contextError() *Error {
	switch err := st.ctx.Err(); {
	case st.term != nil && st.term.Base.Err() != nil && st.server.base.Err() == nil:
		return outward(leaderview.Lost(st.call.spec.Service, st.term.Group))
	case errors.Is(err, context.DeadlineExceeded):
		return asError(err)
	default:
		return st.stoppingError()
	}
}

func (st *serverStream) stoppingError() *Error {
	return refusal(CodeUnavailable, ReasonStopping, "%s is stopping, and has ended the stream", st.server.cfg.instance)
}

type serverStreamKey struct{}

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

// acknowledge tells the client that the stream is taken, and how much it may
// send.
func (st *serverStream) acknowledge() {
	var header nats.Header
	if st.named {
		header = nats.Header{wire.HeaderTerm: {strconv.FormatUint(st.term.Token, 10)}}
	}
	st.Acknowledge(st.requests, header)
}

// run runs the handler.
func (st *serverStream) run() {
	var status *Error
	returned := false
	defer func() {
		if !returned {
			status = st.server.abnormal(st.Name, recover())
		}
		st.conclude(status)
		st.leave()
		st.count()
	}()
	if err := st.handler(st.ctx, st); err != nil {
		if status = handlerError(err); status.Code() == CodeUnimplemented && st.method.lacks(err) {
			status = st.server.withdrawCall(st.method, status)
		}
	}
	returned = true
}

// count counts the stream in the figures of its method, with the time until the
// first response: how long a stream is open says nothing about the server.
func (st *serverStream) count() {
	if st.counted {
		return
	}
	now := time.Now()
	if st.answered.IsZero() {
		st.answered = now
	}
	st.method.stats.ended(now, st.answered.Sub(st.arrived), outward(st.Ended()))
}

// conclude ends the stream with what the handler has returned.
func (st *serverStream) conclude(status *Error) {
	if st.term != nil && !st.term.MayReply(st.server.clock) {
		st.Abort(leaderview.Lost(st.call.spec.Service, st.term.Group), 0)
		return
	}
	if err := st.head(); err != nil && status == nil {
		status = asError(err)
	}
	var trailer nats.Header
	if metadata := st.call.trailer; len(metadata) > 0 {
		trailer = make(nats.Header, len(metadata))
		if err := metadata.encodeTo(trailer); err != nil {
			st.server.logger.Error("aegis: trailing metadata", "method", st.Name, "err", err)
			trailer = nil
			if status == nil {
				status = Errorf(CodeInternal, "trailing %s", err.Message())
			}
		}
	}
	if why := status.inward(); st.End(why, 0) {
		st.SayEnd(why, trailer)
	}
}

// Send sends a message.
func (st *serverStream) Send(m proto.Message) error {
	if st.term != nil && !st.term.MayReply(st.server.clock) {
		st.Abort(leaderview.Lost(st.call.spec.Service, st.term.Group), 0)
	}
	if st.answered.IsZero() {
		st.answered = time.Now()
		if err := st.head(); err != nil {
			return err
		}
	}
	return st.send(m)
}

// head sends the metadata that comes first.
func (st *serverStream) head() error {
	if st.headed {
		return nil
	}
	st.headed = true
	h, err := responseHeader(st.call.response, false)
	if err != nil {
		st.server.logger.Error("aegis: response metadata", "method", st.Name, "err", err)
		return err
	}
	if h == nil {
		return nil
	}
	return endOfStream(st.SendHeader(h))
}

// Recv reads a message. The one request of a method whose requests are no stream
// came with the open.
func (st *serverStream) Recv(m proto.Message) error {
	if st.requests {
		return st.recv(m)
	}
	if st.asked {
		return io.EOF
	}
	st.asked = true
	request := st.request
	st.request = nil
	if err := st.unmarshal(request, m); err != nil {
		return unreadableRequest("the request of "+st.Name, m, request, st.JSON, err)
	}
	return nil
}

// CloseSend does nothing: a server ends a stream when its handler returns.
func (st *serverStream) CloseSend() error { return nil }

// cancelStream is told the reply subject of an open that nobody waits for.
func (s *Server) cancelStream(reply string) bool {
	return s.streams.hub.Cancel(reply)
}

// endLeadersStreams takes no more streams, and ends those of the terms that this
// server gives up: the next leader waits for that.
func (s *Server) endLeadersStreams() {
	s.streams.mu.Lock()
	s.streams.stopping = true
	s.streams.look()
	s.streams.mu.Unlock()
	for _, st := range s.openStreams() {
		if st.term != nil {
			st.Abort(&st.stoppingError().st, 0)
		}
	}
}

// stopStreams lets the other streams end by themselves for a while, then ends
// them. No unary call runs any more, or the grace period is over.
func (s *Server) stopStreams(grace context.Context) {
	s.streams.mu.Lock()
	s.streams.replied = true
	s.streams.look()
	s.streams.mu.Unlock()
	timer := time.NewTimer(s.cfg.streamGrace)
	defer timer.Stop()
	select {
	case <-s.streams.idle:
		return
	case <-grace.Done():
	case <-timer.C:
	}
	for _, st := range s.openStreams() {
		st.Abort(&st.stoppingError().st, 0)
	}
}

// silenceStreams follows when all have ended, or their time is over.
func (s *Server) silenceStreams() {
	if s.streams.sub != nil {
		_ = s.streams.sub.Unsubscribe() // fails only if it is gone already
	}
	s.streams.hub.Forget()
}

func (s *Server) openStreams() []*serverStream {
	s.streams.mu.Lock()
	defer s.streams.mu.Unlock()
	list := make([]*serverStream, 0, len(s.streams.handlers))
	for st := range s.streams.handlers {
		list = append(list, st)
	}
	return list
}

// abnormal is the error for a handler that did not return. What it panicked
// with, and where, is for the log and not for the caller.
func (s *Server) abnormal(name string, panicked any) *Error {
	if panicked == nil {
		s.logger.Error("aegis: a handler ended its goroutine (runtime.Goexit)", "method", name)
		return Errorf(CodeInternal, "the handler of %s ended without a result", name)
	}
	s.logger.Error("aegis: a handler panicked", "method", name, "panic", fmt.Sprint(panicked), "stack", string(debug.Stack()))
	return Errorf(CodeInternal, "the handler of %s panicked", name)
}

// handlerStream is what a handler's receiver and sender share.
type handlerStream struct {
	Stream
	core *serverStream
}

func newHandlerStream(ctx context.Context, s Stream, name protoreflect.Name) (handlerStream, error) {
	core, ok := ctx.Value(serverStreamKey{}).(*serverStream)
	if !ok {
		return handlerStream{}, Errorf(CodeInternal, "an interceptor of the server of %s passed on a context that does not derive from its own", name)
	}
	return handlerStream{s, core}, nil
}

type sender[T any] struct{ handlerStream }

func newSender[T any](ctx context.Context, s Stream, name protoreflect.Name) (Sender[T], error) {
	h, err := newHandlerStream(ctx, s, name)
	return sender[T]{h}, err
}

func (s sender[T]) Send(m *T) error { return sendMessage(s.Stream, m) }

func (s sender[T]) Header() Header { return s.core.call.ResponseHeader() }

func (s sender[T]) Trailer() Header { return s.core.call.ResponseTrailer() }

type handlerReceiver[T any] struct{ handlerStream }

func newHandlerReceiver[T any](ctx context.Context, s Stream, name protoreflect.Name) (Receiver[T], error) {
	h, err := newHandlerStream(ctx, s, name)
	return handlerReceiver[T]{h}, err
}

func (r handlerReceiver[T]) Recv() (*T, error) { return recvMessage[T](r.Stream) }

func (r handlerReceiver[T]) All() iter.Seq2[*T, error] { return all(r.Recv) }

func (r handlerReceiver[T]) Header() Header { return r.core.call.RequestHeader() }

func (r handlerReceiver[T]) Trailer() Header { return Header{} }

func (r handlerReceiver[T]) Close() error {
	r.core.Discard()
	return nil
}
