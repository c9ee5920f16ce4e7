package aegis

import (
	"context"
	"io"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/body"
	"github.com/aegisrpc/aegis/runtime/internal/handling"
	"github.com/aegisrpc/aegis/runtime/internal/leaderview"
	"github.com/aegisrpc/aegis/runtime/internal/metadata"
	"github.com/aegisrpc/aegis/runtime/internal/rpcstream"
	"github.com/aegisrpc/aegis/runtime/internal/rpcstream/flow"
	"github.com/aegisrpc/aegis/runtime/internal/status"
)

// serverStream is a server's end of a stream, with the handler that serves it.
type serverStream struct {
	messageStream

	// These are set when the stream is accepted, and not changed after that.
	server   *Server
	method   *serverMethod
	handler  ServerStreamFunc
	ctx      context.Context //nolint:containedctx // the handler's
	term     *term           // nil unless the method is single active
	named    bool            // the ack names the term, as the subject of the open did not
	unary    bool            // it counts as a unary call of its service
	counted  bool            // the figures of the method count the call already, without this stream
	requests bool            // the client sends messages
	arrived  time.Time

	call Call // of the handler, as for every Call

	// These belong to the goroutine that receives.
	request []byte // the open's payload, where it is the one request
	asked   bool   // the handler has read it

	// These belong to the goroutine that sends, and in the end to run.
	headed   bool      // the header was sent, or there is none
	answered time.Time // when the first response was sent
}

// prepareStreams makes the server's side of streams, before any message arrives.
func (s *Server) prepareStreams() {
	s.streams.Init(s.conn.streaming, s.conn.subjects.In(s.process), s.cfg.maxStreams)
}

// listenToStreams subscribes to the messages that clients send in streams, if any method
// has streams.
func (s *Server) listenToStreams() error {
	for _, service := range s.services {
		for _, m := range service.methods {
			if m.stream != nil || m.method.MaxMessageBytes != 0 {
				s.hearing.Add(s.conn.subjects.In(s.process)+"*", "the streams", nil)
				return s.streams.Listen()
			}
		}
	}
	return nil
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

// acceptStream returns the stream with the first message of a client. It returns nil if
// nobody wants the stream any more.
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
	if !m.public.Idempotent && s.pulse.Stale(now) {
		return nil, refusal(CodeUnavailable, ReasonStale, "%s was paused, and how long this call has waited is unknown", s.cfg.instance)
	}
	if to.lead != nil {
		if to.term = to.enterTerm(s.clock); to.term == nil {
			return nil, notActive(s.cfg.instance, to.lead)
		}
		defer to.term.Leave(nil) // from admit on the stream is counted by itself
	}
	st := &serverStream{
		handler: m.stream,
		server:  s, method: m, term: to.term, named: to.named, arrived: now,
		call: Call{method: m.public, instance: s.cfg.instance, attempt: r.Attempt, request: r.User},
	}
	switch {
	case m.stream == nil:
		if err := m.checkSize(msg); err != nil {
			return nil, err
		}
		st.handler, st.unary, st.requests = m.serveInParts, true, true
	case m.public.Descriptor.IsStreamingClient():
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

// clientWindow returns how much a client lets come at first.
func clientWindow(h nats.Header, inParts bool) (flow.Limit, *Error) {
	bytes := uint64(wire.DefaultWindowBytes)
	if inParts {
		bytes = chunkWindow
	}
	limit, why := rpcstream.ClientWindow(h, bytes)
	return limit, outward(why)
}

// startStream lets an admitted stream begin. It reports false if nobody wants the
// stream.
func (s *Server) startStream(st *serverStream) bool {
	if !s.streams.Hub.Add(&st.Stream, st.requests) || s.pool.Canceled(st.To) {
		st.leave() // NATS has delivered the open twice, or the client has canceled it
		return false
	}
	st.acknowledge()
	st.Watch(st.ctx, func() { st.Abort(&st.contextError().st, 0) })
	return true
}

// admit counts a stream, unless there are too many. leave follows if it was admitted.
func (s *Server) admit(st *serverStream) *Error {
	switch s.streams.Admit(&st.Stream, st.term != nil) {
	case rpcstream.RefusedStopping:
		return refusal(CodeUnavailable, ReasonStopping, "%s is stopping", s.cfg.instance)
	case rpcstream.RefusedFull:
		return refusal(CodeResourceExhausted, ReasonOverloaded, "%s has %d open streams, as many as it may", s.cfg.instance, s.cfg.maxStreams)
	case rpcstream.Admitted:
	}
	st.enterTerm(true)
	if service := st.method.service; st.unary && service.running.Add(1) > service.max {
		service.running.Add(-1)
		st.leaveTerm()
		s.streams.Leave(&st.Stream)
		return service.overload
	}
	return nil
}

// admitReply counts a stream that is the reply of a call. leave follows.
func (s *Server) admitReply(st *serverStream) {
	s.streams.AdmitReply(&st.Stream, st.term != nil)
	st.enterTerm(false)
}

// enterTerm has the term count the stream until leaveTerm, and end it if the term is
// handed over, unless it is a call whose messages come in parts.
func (st *serverStream) enterTerm(lasting bool) {
	switch {
	case st.term == nil:
	case lasting && !st.unary:
		st.term.EnterLasting(st, func() { st.Abort(st.server.endedByHandOver().inward(), 0) })
	default:
		st.term.Enter()
	}
}

func (st *serverStream) leaveTerm() {
	if st.term != nil {
		st.term.Leave(st)
	}
}

// leave ends the stream if it has not ended, and its handler counts no longer.
func (st *serverStream) leave() {
	st.End(nil, rpcstream.Dropping)
	if st.unary {
		st.method.service.running.Add(-1)
	}
	st.leaveTerm()
	st.server.streams.Leave(&st.Stream)
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
	st.Init(&st.server.streams.Hub, c, stop)
}

// endedByStop returns the error of a stream that a stopping server ends.
func (s *Server) endedByStop() *Error {
	return refusal(CodeUnavailable, ReasonStopping, "%s is stopping, and has ended the stream", s.cfg.instance)
}

// endedByHandOver returns the error of a stream that a leader ends which hands over.
func (s *Server) endedByHandOver() *Error {
	return refusal(CodeUnavailable, ReasonStopping, "%s hands its leadership over, and has ended the stream", s.cfg.instance)
}

// acknowledge tells the client that the stream is taken, and how much it may send.
func (st *serverStream) acknowledge() {
	var header nats.Header
	if st.named {
		header = nats.Header{wire.HeaderTerm: {strconv.FormatUint(st.term.Token, 10)}}
	}
	st.Acknowledge(st.requests, header)
}

// run runs the handler.
func (st *serverStream) run() {
	var failure *Error
	returned := false
	defer func() {
		if !returned {
			failure = outward(handling.Abnormal(st.server.logger, st.Name, recover()))
		}
		st.conclude(failure)
		st.leave()
		st.count()
	}()
	if err := st.handler(st.ctx, st); err != nil {
		if failure = handlerError(err); failure.Code() == CodeUnimplemented && st.method.lacks(err) {
			failure = st.server.withdrawCall(st.method, failure)
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

// conclude ends the stream after its handler, with the handler's failure or nil.
func (st *serverStream) conclude(failure *Error) {
	if !st.mayReply() {
		return
	}
	if err := st.head(); err != nil && failure == nil {
		failure = asError(err)
	}
	var trailer nats.Header
	if metadata := st.call.trailer; len(metadata) > 0 {
		trailer = make(nats.Header, len(metadata))
		if err := metadata.encodeTo(trailer); err != nil {
			st.server.logger.Error("aegis: trailing metadata", "method", st.Name, "err", err)
			trailer = nil
			if failure == nil {
				failure = Errorf(CodeInternal, "trailing %s", err.Message())
			}
		}
	}
	if why := failure.inward(); st.End(why, 0) {
		st.SayEnd(why, trailer)
	}
}

// mayReply waits until a message may leave, and aborts the stream if none may, as the
// term is over.
func (st *serverStream) mayReply() bool {
	if st.term == nil || st.term.MayReply(st.server.clock) {
		return true
	}
	st.Abort(leaderview.Lost(st.call.method.Service, st.term.Group), 0)
	return false
}

// Send sends a message.
func (st *serverStream) Send(m proto.Message) error {
	st.mayReply() // else Send finds that the stream has ended, and returns why
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
	if err := body.Unmarshal(request, st.JSON, m); err != nil {
		return outward(status.UnreadableRequest("the request of "+st.Name, m, request, st.JSON, err))
	}
	return nil
}

// CloseSend does nothing: a server ends a stream when its handler returns.
func (st *serverStream) CloseSend() error { return nil }

// cancelStream ends the stream whose open had a reply subject. It reports whether there
// is one.
func (s *Server) cancelStream(reply string) bool { return s.streams.Hub.Cancel(reply) }

// endLeadersStreams takes no more streams, and ends the streams of the terms that this
// server gives up: the next leader waits for that.
func (s *Server) endLeadersStreams() { s.streams.EndTerms(s.endedByStop().inward()) }

// stopStreams lets the other streams end by themselves for a while, then ends
// them. No unary call runs any more, or the grace period is over.
func (s *Server) stopStreams(grace context.Context) {
	s.streams.EndAll(grace, s.cfg.streamGrace, s.endedByStop().inward())
}

// silenceStreams follows when all have ended, or their time is over.
func (s *Server) silenceStreams() { s.streams.Silence() }
