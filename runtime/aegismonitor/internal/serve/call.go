package serve

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/aegisrpc/aegis/internal/monitorapi"
	"github.com/aegisrpc/aegis/internal/sample"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisreflect"
)

const (
	// callTimeout is the deadline of a call whose method has none, and maxCallTimeout bounds
	// all of them.
	callTimeout    = 10 * time.Second
	maxCallTimeout = time.Minute
	// maxMetadata bounds the keys of the metadata, and maxReplies the replies to a broadcast.
	maxMetadata = 100
	maxReplies  = 1000
)

// find returns the method that an address names, for users who may call.
func (s *Server) find(r *http.Request) (*aegisreflect.Method, error) {
	service, err := serviceOf(r)
	if err != nil {
		return nil, err
	}
	name, err := methodOf(r)
	if err != nil {
		return nil, err
	}
	if _, err := queryOf(r); err != nil {
		return nil, err
	}
	if !s.config.May.Call {
		return nil, s.forbidden(r, "call methods", "WithCalls", "--allow-calls")
	}
	ctx, cancel := context.WithTimeout(r.Context(), readTimeout)
	defer cancel()
	found, err := s.resolver.Service(ctx, service)
	if err != nil {
		return nil, err
	}
	return found.Method(name)
}

func streams(m *aegisreflect.Method) bool {
	return m.Descriptor().IsStreamingClient() || m.Descriptor().IsStreamingServer()
}

// form answers with what a form needs to call a method.
func (s *Server) form(w http.ResponseWriter, r *http.Request) error {
	m, err := s.find(r)
	if err != nil {
		return err
	}
	d := m.Descriptor()
	return reply(w, r, &monitorapi.MethodForm{
		Service: m.Service().Name(), Method: m.Name(), Pattern: m.Pattern().String(), Description: aegisreflect.Comment(d),
		Request: string(d.Input().FullName()), Response: string(d.Output().FullName()),
		Example: sample.JSON(d.Input()), Streams: streams(m),
	})
}

// call calls a method, sends a command or publishes an event. An error of the call itself is
// its outcome, and no problem.
func (s *Server) call(w http.ResponseWriter, r *http.Request) error {
	m, err := s.find(r)
	if err != nil {
		return err
	}
	var want monitorapi.CallRequest
	if err := readBody(w, r, &want); err != nil {
		return err
	}
	req, err := requestOf(m, &want)
	if err != nil {
		return err
	}
	timeout := timeoutOf(m, &want)
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(timeout + readTimeout)) // not every connection can do that
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	defer cancel()
	ctx, call := aegis.NewCall(ctx)
	for key, values := range want.Metadata {
		for _, value := range values {
			call.RequestHeader().Add(key, value)
		}
	}
	began := time.Now()
	o := &monitorapi.CallOutcome{Code: "OK", Replies: []monitorapi.CallReply{}}
	err = invoke(ctx, m, req, want.Instance, o)
	o.Ms = float64(time.Since(began)) / float64(time.Millisecond)
	if err != nil {
		o.Code, o.Error, o.MayHaveRun = aegis.CodeOf(err).String(), err.Error(), aegis.MayHaveRun(err)
	}
	s.auditCall(r, m, &want, o, err)
	return reply(w, r, o)
}

// requestOf reads the request of a call, and refuses what cannot be called.
func requestOf(m *aegisreflect.Method, want *monitorapi.CallRequest) (*dynamicpb.Message, error) {
	pattern := m.Pattern()
	directed := pattern == aegisreflect.PatternLoadBalanced || pattern == aegisreflect.PatternSingleActive
	switch {
	case streams(m):
		return nil, badRequest(m.FullName() + " is a stream, which cannot be called here: use aegis call")
	case want.Instance != "" && !directed:
		return nil, badRequest("only calls go to one instance: " + m.FullName() + " is no method that one instance answers")
	case want.TimeoutMs < 0 || want.TimeoutMs > maxCallTimeout.Milliseconds():
		return nil, badRequest(fmt.Sprintf("timeoutMs is no number from 0 to %d", maxCallTimeout.Milliseconds()))
	case len(want.Metadata) > maxMetadata:
		return nil, badRequest(fmt.Sprintf("the metadata have more than %d keys", maxMetadata))
	}
	given := want.Request
	if string(given) == "null" {
		given = nil // the empty message
	}
	req, err := m.Request(given)
	if where, ok := errors.AsType[*aegisreflect.JSONError](err); ok {
		detail := "the request does not fit " + string(m.Descriptor().Input().FullName()) + ": " + where.Error()
		return nil, &problem{status: http.StatusBadRequest, code: aegis.CodeInvalidArgument.String(), detail: detail}
	}
	return req, err
}

func timeoutOf(m *aegisreflect.Method, want *monitorapi.CallRequest) time.Duration {
	timeout := time.Duration(want.TimeoutMs) * time.Millisecond
	if timeout == 0 {
		timeout = m.Timeout()
	}
	if timeout == 0 {
		timeout = callTimeout
	}
	return min(timeout, maxCallTimeout)
}

// invoke does what the pattern of a method says, and puts the answer into an outcome.
func invoke(ctx context.Context, m *aegisreflect.Method, req *dynamicpb.Message, instance string, o *monitorapi.CallOutcome) error {
	switch m.Pattern() {
	case aegisreflect.PatternBroadcast:
		return broadcast(ctx, m, req, o)
	case aegisreflect.PatternCommand:
		sent, err := m.Send(ctx, req)
		if err == nil {
			o.CommandID = sent.ID()
		}
		return err
	case aegisreflect.PatternEvent:
		_, err := m.Publish(ctx, req)
		return err
	case aegisreflect.PatternLoadBalanced, aegisreflect.PatternSingleActive:
	}
	var opts []aegis.CallOption
	if instance != "" {
		opts = append(opts, aegis.ToInstance(instance))
	}
	res, err := m.Call(ctx, req, opts...)
	if err != nil {
		return err
	}
	o.Response, err = m.Service().JSON(res)
	return err
}

// broadcast collects the replies of all instances.
func broadcast(ctx context.Context, m *aegisreflect.Method, req *dynamicpb.Message, o *monitorapi.CallOutcome) error {
	for reply := range m.Broadcast(ctx, req) {
		if reply.Instance == "" {
			return reply.Err // the broadcast itself has failed
		}
		one := monitorapi.CallReply{Instance: reply.Instance, Code: "OK"}
		err := reply.Err
		if err == nil {
			one.Response, err = m.Service().JSON(reply.Msg)
		}
		if err != nil {
			one.Code, one.Error = aegis.CodeOf(err).String(), err.Error()
		}
		if o.Replies = append(o.Replies, one); len(o.Replies) == maxReplies {
			return aegis.Errorf(aegis.CodeResourceExhausted, "more than %d instances reply: the others are left out", maxReplies)
		}
	}
	return nil
}

// auditCall tells of a call.
func (s *Server) auditCall(r *http.Request, m *aegisreflect.Method, want *monitorapi.CallRequest, o *monitorapi.CallOutcome, err error) {
	a := &action{name: "call", service: m.Service().Name(), method: m.Name(), instance: want.Instance, done: 1}
	if err != nil {
		a.done, a.failed = 0, 1
	}
	what := "called "
	switch m.Pattern() {
	case aegisreflect.PatternCommand:
		what = "sent the command "
	case aegisreflect.PatternEvent:
		what = "published the event "
	case aegisreflect.PatternBroadcast, aegisreflect.PatternLoadBalanced, aegisreflect.PatternSingleActive:
	}
	s.audit(r, a, err, what+m.Name()+": "+o.Code)
}
