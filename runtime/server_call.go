package aegis

import (
	"context"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	"github.com/aegisrpc/aegis/internal/spec"
	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/body"
	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/handling"
	"github.com/aegisrpc/aegis/runtime/internal/leaderview"
	"github.com/aegisrpc/aegis/runtime/internal/metadata"
	"github.com/aegisrpc/aegis/runtime/internal/status"
)

// serve is called by a worker with each message of the queue, and returns when the
// message is answered or refused. Streams go on in goroutines of their own.
func (s *Server) serve(w *handling.Worker, msg *nats.Msg) {
	now := time.Now()
	r, ok := s.routes.Find(msg.Subject)
	switch {
	case ok:
	case msg.Subject == s.pulse.Subject():
		s.pulse.Take(msg)
		return
	case s.descriptors.Serves(msg.Subject):
		s.serveDescriptors(msg)
		return
	default:
		s.refuse(msg, refusal(CodeUnimplemented, ReasonNoMethod, "%s has no such method", msg.Subject))
		return
	}
	if msg.Reply == "" {
		s.dropped(msg)
		return
	}
	if r.method.stream != nil || r.method.inParts(msg) {
		s.openStream(&r, msg, now)
		return
	}
	service := r.method.service
	if running := service.running.Add(1); running > service.max {
		service.running.Add(-1)
		r.method.stats.refused(now, service.overload)
		s.refuseOverload(msg, service)
		return
	}
	if err := s.handle(w, &r, msg, now); err != nil {
		service.running.Add(-1)
		r.method.stats.refused(now, err)
		s.refuse(msg, err)
	}
}

// handle runs the handler of a request and sends the reply. It returns an error if the
// handler cannot run; the caller sends that. The service no longer counts the call when
// its reply is sent: a caller that sends its next call at once is not refused because
// of the last one.
func (s *Server) handle(w *handling.Worker, to *route, msg *nats.Msg, now time.Time) *Error {
	if s.expired.Load() {
		return refusal(CodeUnavailable, ReasonStopping, "%s is stopping", s.cfg.instance)
	}
	m := to.method
	var r metadata.Request
	if st := r.Read(msg, m.method.Timeout); st != nil {
		return outward(st)
	}
	if !m.public.Idempotent && s.pulse.Stale(now) {
		return refusal(CodeUnavailable, ReasonStale, "%s was paused, and how long this call has waited is unknown", s.cfg.instance)
	}
	req := m.request()
	if err := body.Unmarshal(msg.Data, r.JSON, req); err != nil {
		return outward(status.UnreadableRequest("the request of "+m.name, req, msg.Data, r.JSON, err))
	}
	if to.lead != nil {
		// The lease is looked at as late as possible: only a pause of the process can
		// come between here and the handler.
		if to.term = to.enterTerm(s.clock); to.term == nil {
			return notActive(s.cfg.instance, to.lead)
		}
	}
	c := &handlerContext{
		Context: handling.Context{Base: s.base, Method: m.name, Arrived: now, Due: now.Add(r.Timeout), Reply: msg.Reply},
		call:    Call{method: m.public, instance: s.cfg.instance, attempt: r.Attempt, request: r.User},
	}
	if to.term != nil {
		c.Base, c.call.term = to.term.Base, Term(to.term.Info)
	}
	if !w.Begin(&c.Context) { // the caller has canceled the call
		if to.term != nil {
			to.term.Leave(nil)
		}
		m.service.running.Add(-1)
		return nil
	}
	m.stats.begin()
	o := outcome{server: s, worker: w, method: m, context: c, msg: msg, json: r.JSON, term: to.term, named: to.named, all: to.all}
	defer o.finish()
	res, err := m.handle(c, req)
	if err != nil {
		if o.err = handlerError(err); o.err.Code() == CodeUnimplemented && m.lacks(err) {
			o.err = s.withdrawCall(m, o.err)
		}
	} else if o.res = res; !m.response(res) {
		o.err = Errorf(CodeInternal, "an interceptor of the server of %s returned %T without an error", m.name, res)
	}
	o.returned = true
	return nil
}

// outcome is the outcome of one handler, with all that its reply needs.
type outcome struct {
	server   *Server
	worker   *handling.Worker
	method   *serverMethod
	context  *handlerContext
	msg      *nats.Msg
	json     bool
	term     *term // nil unless the method is single active
	named    bool  // the reply names the term, as the subject of the request does not
	all      bool  // the reply names the instance, as all instances reply
	res      proto.Message
	err      *Error
	returned bool // the handler neither panicked nor ended its goroutine
}

// finish sends the reply. It is deferred, so that the caller of a handler that panics or
// ends its goroutine gets an answer as well.
func (o *outcome) finish() {
	if o.term != nil {
		defer o.term.Leave(nil) // after the reply: a leader that hands over waits for that
	}
	if !o.returned {
		o.err = outward(handling.Abnormal(o.server.logger, o.method.name, recover()))
	}
	o.worker.End()
	o.context.End()
	if o.term != nil && !o.term.MayReply(o.server.clock) {
		o.err = outward(leaderview.Lost(o.context.call.method.Service, o.term.Group))
	}
	o.method.service.running.Add(-1)
	if o.err == nil {
		o.err = o.server.respond(o)
	}
	o.method.stats.done(o.context.Arrived, o.err)
	if o.err != nil {
		o.server.respondError(o.msg, o.err, o.json, o.context.call.response)
	}
}

// handlerError returns the error of a handler as it travels: without a reason. Only the
// refusals of this server and its interceptors have one. A handler may return an error of another call that
// says that nothing has run, which is not true of this call.
func handlerError(err error) *Error {
	e := asError(err)
	if e.st.Reason == "" && !e.st.NotRun || e.st.Refusal {
		return e
	}
	c := *e
	c.st.Reason, c.st.NotRun = "", false
	return &c
}

// respond sends the response of a handler. It returns the error to send in its place if
// the response cannot be sent.
func (s *Server) respond(o *outcome) *Error {
	var err error
	if o.worker.Payload, err = body.Append(o.worker.Payload[:0], o.res, o.json); err != nil {
		s.logger.Error("aegis: a response cannot be marshalled", "method", o.method.name, "err", err)
		return Errorf(CodeInternal, "the response of %s cannot be marshalled", o.method.name)
	}
	header, failure := o.header()
	if failure != nil {
		s.logger.Error("aegis: response metadata", "method", o.method.name, "err", failure)
		o.context.call.response = nil
		return failure
	}
	if tooLarge := s.replies.Send(o.msg.Reply, header, o.worker.Payload); tooLarge != nil {
		failure = s.respondTooLarge(o)
	}
	if cap(o.worker.Payload) > bus.MaxKeptPayload {
		o.worker.Payload = nil
	}
	return failure
}

// respondTooLarge sends a response in parts, as it is too large for one message of NATS.
// It returns an error if the method, or the client, takes no parts.
func (s *Server) respondTooLarge(o *outcome) *Error {
	advice := bus.SendInParts
	switch m := o.method.method; {
	case m.MaxMessageBytes > 0 && o.msg.Header.Get(wire.HeaderChunked) != "":
		return s.respondInParts(o)
	case m.MaxMessageBytes > 0:
		advice = bus.TakeInParts
	case m.Pattern == spec.Broadcast:
		advice = bus.SendLess
	}
	return tooLarge("the response", len(o.worker.Payload), s.conn.nc.MaxPayload(), advice)
}

// header returns the header of the response, nil for none: metadata and content type,
// the term, and the instance.
func (o *outcome) header() (nats.Header, *Error) {
	h, err := responseHeader(o.context.call.response, o.json)
	if err == nil && h == nil && (o.named || o.all) {
		h = make(nats.Header, 1)
	}
	if err == nil && o.named {
		h[wire.HeaderTerm] = []string{strconv.FormatUint(o.term.Token, 10)}
	}
	if err == nil && o.all {
		h[wire.HeaderInstance] = []string{o.server.cfg.instance}
	}
	return h, err
}

// responseHeader returns the header with the metadata of the user and the content type,
// nil for none.
func responseHeader(user Header, json bool) (nats.Header, *Error) {
	if len(user) == 0 && !json {
		return nil, nil
	}
	h := make(nats.Header, len(user)+1)
	if err := user.encodeTo(h); err != nil {
		return nil, Errorf(CodeInternal, "response %s", err.Message())
	}
	if json {
		h[wire.HeaderContentType] = []string{wire.ContentTypeJSON}
	}
	return h, nil
}

// refuse answers a request whose handler does not run.
func (s *Server) refuse(msg *nats.Msg, err *Error) {
	if msg.Reply == "" {
		s.dropped(msg)
		return
	}
	s.respondError(msg, err, wire.WantsJSON(msg.Header), nil)
}

// refuseOverload answers a request to a service that runs as many handlers as it may.
func (s *Server) refuseOverload(msg *nats.Msg, service *service) {
	if wire.WantsJSON(msg.Header) {
		s.respondError(msg, service.overload, true, nil)
		return
	}
	s.replies.Refuse(msg, service.overloadReply)
}

// prepareOverload makes the refusal of a service that is overloaded.
func (s *Server) prepareOverload(service *service) {
	service.overload = refusal(CodeResourceExhausted, ReasonOverloaded,
		"%s runs %d calls of %s at once, as many as it may", s.cfg.instance, service.max, service.desc.Name)
	service.overloadReply = s.replies.Refusal(&service.overload.st)
}

// respondError answers a request with an error and metadata. Metadata that cannot travel
// are left out, as they must not hide the error.
func (s *Server) respondError(msg *nats.Msg, err *Error, json bool, user Header) {
	header, _ := responseHeader(user, false)
	s.replies.Fail(msg, &err.st, json, header)
}

// dropped logs a request without a reply subject: nobody waits for a reply, so the
// handler does not run.
func (s *Server) dropped(msg *nats.Msg) {
	s.logger.Warn("aegis: a request without a reply subject is dropped; use nats req, not nats pub", "subject", msg.Subject)
}

// handlerContext is the context of the handler of a unary call. It has the Call that
// CallFromContext returns.
type handlerContext struct {
	handling.Context

	call Call
}

func (c *handlerContext) Value(key any) any {
	if _, ok := key.(currentKey); ok {
		return &c.call
	}
	return c.Context.Value(key)
}

// maxReplyBytes bounds a reply subject; those of clients take some 40 bytes.
const maxReplyBytes = 512

// canceled is the callback of the cancel subjects. The payload of the message is the
// reply subject of the call, or of the open of a stream, that its caller gives up.
func (s *Server) canceled(msg *nats.Msg) {
	if len(msg.Data) == 0 || len(msg.Data) > maxReplyBytes {
		return // no reply subject
	}
	if reply := string(msg.Data); !s.cancelStream(reply) {
		s.pool.Cancel(reply, time.Now())
	}
}

// callerGone asks a caller, on the subject on which it answers, whether it is still
// there. It reports true only if NATS says that nobody listens.
func (s *Server) callerGone(ctx context.Context, subject string, deadline time.Time) bool {
	why := s.conn.bus.Exchange(ctx, subject, deadline)
	return why != nil && why.Reason == status.ReasonNoResponders
}
