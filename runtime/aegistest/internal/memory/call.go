package memory

import (
	"context"

	"google.golang.org/protobuf/proto"

	"github.com/aegisrpc/aegis/runtime/internal/inmemory"
	"github.com/aegisrpc/aegis/runtime/internal/status"
)

// Call makes a unary call.
func (h *Hub) Call(ctx context.Context, out *inmemory.Outgoing, req proto.Message) (proto.Message, *status.Status) {
	ctx, cancel := withDeadline(ctx, out.Method.Timeout)
	defer cancel()
	if ctx.Err() != nil {
		return nil, status.Of(ctx.Err()).WithNotRun(true)
	}
	req, _, why := copied(req, status.InvalidArgument, "the request of "+string(out.Method.Desc.FullName()))
	if why != nil {
		return nil, why
	}
	to, why := h.find(ctx, out, req)
	if why != nil {
		return nil, why
	}
	a := begin(ctx, to, out, req)
	select {
	case <-a.done:
	case <-ctx.Done():
		if ctx.Err() == context.Canceled {
			return nil, status.Of(ctx.Err())
		}
		return nil, status.Because(ctx.Err(), status.DeadlineExceeded,
			"no reply of "+string(out.Method.Desc.FullName())+" before the deadline; whether the handler ran is unknown")
	}
	out.Response, _ = a.handling.Metadata()
	out.Term = to.term
	return a.res, a.why
}

// answer is the answer of one instance.
type answer struct {
	done     chan struct{} // closed when the handler has returned
	handling *inmemory.Handling
	res      proto.Message
	why      *status.Status
}

// begin runs a handler whose call find has counted.
func begin(ctx context.Context, to taken, out *inmemory.Outgoing, req proto.Message) *answer {
	a := &answer{done: make(chan struct{}), handling: handling(to.server, out.Method, out.Header)}
	a.handling.Term = to.term
	inner, cancel := handlerContext(ctx, to.base)
	go func() {
		defer to.server.calls.Done()
		defer cancel()
		defer close(a.done)
		res, err := to.service.Methods[out.Method.Name].Unary(inner, a.handling, req)
		if err != nil {
			a.why = travelled(err)
			return
		}
		a.res, _, a.why = copied(res, status.Internal, "the response of "+string(out.Method.Desc.FullName()))
		if a.why != nil {
			a.why = overWire(a.why)
		}
	}()
	return a
}

// Broadcast sends a request to all instances of a service.
func (h *Hub) Broadcast(ctx context.Context, out *inmemory.Outgoing, req proto.Message) (inmemory.Replies, *status.Status) {
	req, _, why := copied(req, status.InvalidArgument, "the request of "+string(out.Method.Desc.FullName()))
	if why != nil {
		return nil, why
	}
	if out.Instance != "" {
		return nil, status.Newf(status.InvalidArgument, "%s goes to all instances, not to %s alone", out.Method.Desc.FullName(), out.Instance)
	}
	ctx, cancel := withDeadline(ctx, out.Method.Timeout)
	r := &replies{ctx: ctx, cancel: cancel, out: out}
	h.mu.Lock()
	for _, m := range h.targetsOf(out.Service.Name).members {
		if m.service.Methods[out.Method.Name] != nil {
			m.server.calls.Add(1)
			r.waiting = append(r.waiting, m)
		}
	}
	h.mu.Unlock()
	r.answers = make(chan reply, len(r.waiting))
	for _, m := range r.waiting {
		a := begin(ctx, taken{member: m, base: m.server.Base}, out, proto.Clone(req))
		go func() {
			<-a.done
			r.answers <- reply{a, m.server.Instance}
		}()
	}
	return r, nil
}
