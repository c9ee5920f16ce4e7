package rpcstream

import (
	"context"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/rpcstream/flow"
	"github.com/aegisrpc/aegis/runtime/internal/status"
)

// Server is the side of a server: the hub of its streams, the subscription through
// which clients send, and the handlers, each of which has a goroutine of its own.
//
// A server that stops waits for the handlers in two steps: first for those that serve
// in the name of a term, as the next leader waits for them, then for all.
type Server struct {
	Hub Hub
	sub *nats.Subscription // nil unless Listen was called

	mu       sync.Mutex // guards the fields below
	most     int
	handlers map[*Stream]bool // whether they belong to a term
	ofTerms  int              // of them
	stopping bool             // no stream is admitted any more
	replied  bool             // no unary call runs any more whose reply may become a stream
	led      chan struct{}    // closed when the server stops and no handler of a term runs
	idle     chan struct{}    // closed when the server stops and no handler runs
}

// Init makes the side of a server before anything arrives: prefix is that of the
// subjects on which frames come, and most how many handlers may run.
func (s *Server) Init(c Connection, prefix string, most int) {
	s.Hub.Init(c, prefix, true)
	s.most, s.handlers = most, make(map[*Stream]bool)
	s.led, s.idle = make(chan struct{}), make(chan struct{})
}

// Listen subscribes to the frames that clients send. Silence follows.
func (s *Server) Listen() error {
	sub, err := s.Hub.nc.Subscribe(s.Hub.Prefix+"*", s.arrived)
	if err != nil {
		return err
	}
	s.sub = sub
	// The windows of the streams bound how much is pending.
	return sub.SetPendingLimits(-1, -1)
}

// arrived is called by the one goroutine of the subscription.
func (s *Server) arrived(msg *nats.Msg) {
	token := msg.Subject[len(s.Hub.Prefix):]
	if token != wire.CallerAliveToken {
		s.Hub.Deliver(token, msg)
	} else if msg.Reply != "" {
		_ = s.Hub.nc.Publish(msg.Reply, nil) // a client asks whether the server is there; it asks again
		s.Hub.AskedBy(msg.Reply)
	}
}

// Admission is whether a stream may begin.
type Admission int

// The admissions.
const (
	Admitted Admission = iota
	RefusedStopping
	RefusedFull
)

// Admit counts the handler of a stream, unless the server stops or has too many. Leave
// follows if it was admitted.
func (s *Server) Admit(st *Stream, ofTerm bool) Admission {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.stopping:
		return RefusedStopping
	case len(s.handlers) >= s.most:
		return RefusedFull
	}
	s.count(st, ofTerm)
	return Admitted
}

// AdmitReply counts a stream that is the reply of a unary call. There is room for it
// in any case, as its handler has run, and a stopping server waits for it. Leave follows.
func (s *Server) AdmitReply(st *Stream, ofTerm bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count(st, ofTerm)
}

// count is called with s.mu held.
func (s *Server) count(st *Stream, ofTerm bool) {
	s.handlers[st] = ofTerm
	if ofTerm {
		s.ofTerms++
	}
}

// Leave says that the handler of a stream has returned, or does not begin.
func (s *Server) Leave(st *Stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.handlers[st] {
		s.ofTerms--
	}
	delete(s.handlers, st)
	s.tellWaiting()
}

// tellWaiting closes the channels on which a stopping server waits; s.mu is held.
func (s *Server) tellWaiting() {
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

// Led is closed after EndTerms, when no handler of a term runs any more.
func (s *Server) Led() <-chan struct{} { return s.led }

// Idle is closed after EndAll, when no handler runs any more.
func (s *Server) Idle() <-chan struct{} { return s.idle }

// Open returns the streams whose handlers run.
func (s *Server) Open() []*Stream { return s.open(false) }

func (s *Server) open(ofTerms bool) []*Stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]*Stream, 0, len(s.handlers))
	for st, ofTerm := range s.handlers {
		if ofTerm || !ofTerms {
			list = append(list, st)
		}
	}
	return list
}

// EndTerms admits no more streams, and ends the streams of terms: the server gives these
// up.
func (s *Server) EndTerms(why *status.Status) {
	s.mu.Lock()
	s.stopping = true
	s.tellWaiting()
	s.mu.Unlock()
	for _, st := range s.open(true) {
		st.Abort(why, 0)
	}
}

// EndAll lets the streams end by themselves for a while, and then ends them. It is
// called when no unary call runs any more, or when ctx, the server's patience, has ended.
func (s *Server) EndAll(ctx context.Context, after time.Duration, why *status.Status) {
	s.mu.Lock()
	s.replied = true
	s.tellWaiting()
	s.mu.Unlock()
	timer := time.NewTimer(after)
	defer timer.Stop()
	select {
	case <-s.idle:
		return
	case <-ctx.Done():
	case <-timer.C:
	}
	for _, st := range s.open(false) {
		st.Abort(why, 0)
	}
}

// Silence follows when all streams have ended, or their time is over: nothing is heard
// or sent any more.
func (s *Server) Silence() {
	if s.sub != nil {
		_ = s.sub.Unsubscribe() // fails only if it is gone already
	}
	s.Hub.DropFarewells()
}

// Kept returns how much a server holds for streams: ends, handlers, other processes,
// and last frames that were not confirmed.
func (s *Server) Kept() int { return len(s.Open()) + s.Hub.Kept() }

// ClientWindow returns how much a client lets come at first, as the header of its
// request says, or bytes and the default number of messages if it says nothing.
func ClientWindow(h nats.Header, bytes uint64) (flow.Limit, *status.Status) {
	w := h.Get(wire.HeaderWindow)
	if w == "" {
		return flow.Limit{Seq: wire.DefaultWindowMessages, Bytes: bytes}, nil
	}
	messages, size, ok := wire.ParseWindow(w)
	if !ok {
		return flow.Limit{}, status.Newf(status.InvalidArgument, "%s %s is not a number of messages and one of bytes with a comma between them, 1 to %d each",
			wire.HeaderWindow, status.Quote(w), wire.MaxWindow)
	}
	return flow.Limit{Seq: messages, Bytes: size}, nil
}
