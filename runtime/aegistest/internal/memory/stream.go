package memory

import (
	"context"
	"maps"
	"sync"

	"google.golang.org/protobuf/proto"

	"github.com/aegisrpc/aegis/runtime/internal/inmemory"
	"github.com/aegisrpc/aegis/runtime/internal/rpcstream"
	"github.com/aegisrpc/aegis/runtime/internal/status"
)

// window is how many messages may wait for the reader of a stream before its sender waits.
const window = 1024

// stream is a stream between a client and a handler.
type stream struct {
	hub      *Hub
	out      *inmemory.Outgoing
	ctx      context.Context //nolint:containedctx // the client's
	cancel   context.CancelFunc
	handling *inmemory.Handling // set when the handler begins

	up, down  chan []byte // never closed, as late senders must do no harm
	sent      signal      // by CloseSend: there are no more requests
	discarded signal      // by the handler, which reads no more
	ended     signal      // the handler has returned

	mu              sync.Mutex // guards what follows
	header, trailer map[string][]string
	headed          bool
	why             *status.Status // of the end; nil for a good one
	dropped         *status.Status // why the client has given the stream up
}

// Open opens a stream. The handler begins with the first request where there is only one.
func (h *Hub) Open(ctx context.Context, out *inmemory.Outgoing) (inmemory.Stream, *status.Status) {
	ctx, cancel := withDeadline(ctx, out.Method.Timeout)
	s := &stream{
		hub: h, out: out, ctx: ctx, cancel: cancel, up: make(chan []byte, window), down: make(chan []byte, window),
		sent: newSignal(), discarded: newSignal(), ended: newSignal(),
	}
	if out.Method.Desc.IsStreamingClient() {
		if why := s.begin(nil); why != nil {
			cancel()
			return nil, why
		}
	}
	return (*clientEnd)(s), nil
}

// begin has a server take the stream.
func (s *stream) begin(req proto.Message) *status.Status {
	if s.ctx.Err() != nil {
		return status.Of(s.ctx.Err()).WithNotRun(true)
	}
	to, why := s.hub.find(s.ctx, s.out, req)
	if why != nil {
		return why
	}
	s.handling = handling(to.server, s.out.Method, s.out.Header)
	s.handling.Term, s.out.Term = to.term, to.term
	inner, cancel := handlerContext(s.ctx, to.base)
	go func() {
		defer to.server.calls.Done()
		defer cancel()
		s.conclude(to.service.Methods[s.out.Method.Name].Stream(inner, s.handling, &handlerEnd{s, inner}))
	}()
	return nil
}

// conclude ends the stream after its handler.
func (s *stream) conclude(err error) {
	s.sendHeader()
	s.mu.Lock()
	_, s.trailer = s.handling.Metadata()
	s.trailer = maps.Clone(s.trailer)
	if err != nil {
		s.why = travelled(err)
	}
	s.mu.Unlock()
	s.ended.give()
}

// sendHeader lets the client see the metadata that comes first.
func (s *stream) sendHeader() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.headed {
		s.headed = true
		header, _ := s.handling.Metadata()
		s.header = maps.Clone(header)
	}
}

// end returns why the stream has ended, as its reader gets it.
func (s *stream) end() *status.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.why == nil {
		return rpcstream.EOF
	}
	return s.why
}

// given returns why the client has given the stream up.
func (s *stream) given() *status.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dropped != nil {
		return s.dropped
	}
	return status.Of(s.ctx.Err())
}

// clientEnd is the client's end of a stream.
type clientEnd stream

// Send sends a request.
func (c *clientEnd) Send(m proto.Message) *status.Status {
	s := (*stream)(c)
	req, b, why := copied(m, status.InvalidArgument, "a message of "+string(s.out.Method.Desc.FullName()))
	if why != nil {
		return why
	}
	if s.handling == nil {
		if why := s.begin(req); why != nil {
			return why
		}
	}
	switch {
	case s.ended.given():
		return rpcstream.EOF
	case s.sent.given():
		return status.New(status.Internal, "a request was sent after CloseSend")
	}
	select {
	case s.up <- b:
		return nil
	case <-s.discarded.c:
		return nil
	case <-s.ended.c:
		return rpcstream.EOF
	case <-s.ctx.Done():
		return s.given()
	}
}

// CloseSend says that there are no more requests.
func (c *clientEnd) CloseSend() *status.Status {
	c.sent.give()
	return nil
}

// Recv reads a response.
func (c *clientEnd) Recv(m proto.Message) *status.Status {
	s := (*stream)(c)
	if s.ctx.Err() != nil {
		return s.given()
	}
	select {
	case b := <-s.down:
		return unmarshalled(b, m)
	case <-s.ended.c:
		if b, ok := left(s.down); ok {
			return unmarshalled(b, m)
		}
		return s.end()
	case <-s.ctx.Done():
		return s.given()
	}
}

// Discard reads no more.
func (c *clientEnd) Discard() {}

// Drop gives the stream up.
func (c *clientEnd) Drop(why *status.Status) {
	s := (*stream)(c)
	s.mu.Lock()
	if s.dropped == nil {
		s.dropped = why
	}
	s.mu.Unlock()
	s.cancel()
}

// Metadata returns that of the server, as far as it has come.
func (c *clientEnd) Metadata() (header, trailer map[string][]string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.header, c.trailer
}

// handlerEnd is the handler's end of a stream.
type handlerEnd struct {
	*stream
	inner context.Context //nolint:containedctx // the handler's
}

// Send sends a response.
func (e *handlerEnd) Send(m proto.Message) *status.Status {
	_, b, why := copied(m, status.Internal, "a message of "+string(e.out.Method.Desc.FullName()))
	if why != nil {
		return why
	}
	switch {
	case e.inner.Err() != nil:
		return e.over()
	case e.ended.given():
		return status.New(status.Canceled, "the handler has returned")
	}
	e.sendHeader()
	select {
	case e.down <- b:
		return nil
	case <-e.inner.Done():
		return e.over()
	}
}

// Recv reads a request.
func (e *handlerEnd) Recv(m proto.Message) *status.Status {
	if e.discarded.given() {
		return discarding
	}
	select {
	case b := <-e.up:
		return unmarshalled(b, m)
	case <-e.sent.c:
		if b, ok := left(e.up); ok {
			return unmarshalled(b, m)
		}
		return rpcstream.EOF
	case <-e.discarded.c:
		return discarding
	case <-e.inner.Done():
		return e.over()
	}
}

// over returns why the handler can go on no longer.
func (e *handlerEnd) over() *status.Status {
	if e.ctx.Err() != nil && e.inner.Err() == context.Canceled {
		return status.New(status.Canceled, "the client has given the stream up")
	}
	return status.Of(e.inner.Err())
}

// CloseSend does nothing: the stream ends when the handler returns.
func (e *handlerEnd) CloseSend() *status.Status { return nil }

// Discard throws away what the client still sends.
func (e *handlerEnd) Discard() { e.discarded.give() }

var discarding = status.New(status.Canceled, "the handler reads no more")

// Drop does nothing: the handler ends a stream by returning.
func (e *handlerEnd) Drop(*status.Status) {}

// Metadata returns that of the client, which came with the open.
func (e *handlerEnd) Metadata() (header, trailer map[string][]string) { return e.out.Header, nil }

// left returns a message that is already there.
func left(c chan []byte) ([]byte, bool) {
	select {
	case b := <-c:
		return b, true
	default:
		return nil, false
	}
}

// signal is given once. It is safe for concurrent use.
type signal struct {
	c    chan struct{}
	once *sync.Once
}

func newSignal() signal { return signal{make(chan struct{}), new(sync.Once)} }

func (s signal) give() { s.once.Do(func() { close(s.c) }) }

func (s signal) given() bool {
	select {
	case <-s.c:
		return true
	default:
		return false
	}
}

func unmarshalled(b []byte, m proto.Message) *status.Status {
	if err := proto.Unmarshal(b, m); err != nil {
		return status.Newf(status.Internal, "a message cannot be unmarshalled: %w", err)
	}
	return nil
}
