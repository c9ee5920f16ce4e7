package aegis

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/flow"
	"github.com/aegisrpc/aegis/runtime/internal/frame"
)

// stream is one end of a stream. The reader and the writer are the user's
// goroutines, one of each at a time; frames arrive in the one goroutine of a
// subscription, which never waits for either.
type stream struct {
	hub   *streamHub
	id    uint64
	own   string // where frames come
	to    string // where frames go; at the client from the ack on, set with mu held
	name  string // of the method
	json  bool
	peer  atomic.Pointer[streamPeer]
	taken atomic.Pointer[bus.Slot] // at the client: who waits for the answer to the open
	stop  context.CancelFunc       // ends the context of the call
	// maxMessage is how large a message may be that travels in parts; 0: none does.
	maxMessage int
	window     flow.Window // the largest that the other end is given
	// dropped: nobody reads what has come, or comes.
	dropped atomic.Bool
	// unwanted: the reading was closed. It is set before dropped, which waits for the
	// reader.
	unwanted atomic.Bool

	mu       sync.Mutex
	readable sync.Cond
	writable sync.Cond
	out      flow.Out
	in       flow.In
	queue    []arrival // not fetched by the reader yet
	idle     bool      // the reader waits, and has read all that it fetched
	ended    bool
	// halfClosed: the client of this server sends no more messages.
	halfClosed bool
	// sendClosed: this client sends no more messages.
	sendClosed bool
	status     *Error // of the end; nil: OK
	byPeer     bool   // the other end has ended it
	header     Header // at the client: of the server
	trailer    Header
	target     string      // at the client: the subject of the open
	unwatch    func() bool // stops looking at the context of the call
	sync       synchronizer
	held       int64 // bytes that count against the hub's assembly
	inUse      bool  // something came lately, or it is new

	// reading is held by the reader, also while it waits, and guards what is its own.
	reading  sync.Mutex
	batch    []arrival
	at       int
	consumed flow.Limit
	due      flow.Limit // at which the other end is given credit
	counted  uint64     // bytes that the transit knows of
	parts    [][]byte   // of a message that is not whole
	partial  int        // their bytes
	failed   *Error     // what could not be read, and ended the stream

	// sending is held from the number of a frame to its publishing, so that
	// frames are published in the order of their numbers.
	sending   sync.Mutex
	scratch   []byte        // the writer's own
	published atomic.Uint64 // the last number
}

// arrival is a numbered frame that has come and is to be read.
type arrival struct {
	kind frame.Kind
	body []byte
}

// init prepares a stream; in says how much may come before anybody reads, if the
// connection carries that. It returns how much may come at first.
func (s *stream) init(hub *streamHub, in flow.Window, out flow.Limit) flow.Window {
	s.hub, s.window = hub, in
	s.readable.L, s.writable.L = &s.mu, &s.mu
	first := hub.transit.window(in, 1)
	s.in, s.out = flow.NewIn(first), flow.NewOut(out)
	s.due = s.in.Due()
	return first
}

// deliver takes what comes on the stream's own subject.
func (s *stream) deliver(msg *nats.Msg) {
	if p := s.peer.Load(); p != nil {
		p.hear(s.hub.clock.Load())
	}
	if s.taken.Load() != nil && s.opened(msg) {
		return
	}
	if msg.Header != nil && bus.NoResponders(msg) {
		s.hub.lost(s.peer.Load(), true)
		return
	}
	f, err := frame.Decode(msg.Data)
	if err == nil {
		switch f.Kind {
		case frame.Data, frame.Part, frame.Last:
			err = s.take(f)
		case frame.Credit, frame.Ping:
			err = s.credit(f, msg.Reply)
		default:
			err = s.turn(f, msg)
		}
	}
	if err != nil {
		s.abort(s.violation(err), 0)
	}
}

// opened hands the first answer to an open to who waits for it.
func (s *stream) opened(msg *nats.Msg) bool {
	slot := s.taken.Load()
	if slot == nil {
		return false
	}
	return slot.Give(msg)
}

// credit takes a Credit, or a Ping, which wants a Credit back.
func (s *stream) credit(f frame.Frame, reply string) error {
	p, err := frame.DecodePosition(f.Body)
	if err != nil {
		return err
	}
	s.mu.Lock()
	if s.ended {
		s.mu.Unlock()
		return nil
	}
	if err = s.in.Check(f.Seq); err == nil {
		err = s.out.Credit(p.Received, p.Limit)
	}
	position := s.position()
	s.writable.Signal()
	s.mu.Unlock()
	if err == nil && f.Kind == frame.Ping && reply != "" {
		s.tell(frame.Credit, reply, "", position)
	}
	return err
}

// position is what a Credit or a Ping says; s.mu is held.
func (s *stream) position() frame.Position {
	return frame.Position{Received: s.in.Received(), Limit: s.in.Limit()}
}

// tell sends a Credit or a Ping. One that is lost is made good by the next.
func (s *stream) tell(kind frame.Kind, to, reply string, p frame.Position) {
	b := frame.AppendPosition(frame.Append(make([]byte, 0, 40), kind, s.published.Load()), p)
	if reply == "" {
		_ = s.hub.nc.Publish(to, b)
	} else {
		_ = s.hub.nc.PublishRequest(to, reply, b)
	}
}

var errOutOfPlace = errors.New("a frame that the other end must not send there")

// turn takes the frames that change what a stream is.
func (s *stream) turn(f frame.Frame, msg *nats.Msg) error {
	if s.hub.server {
		switch f.Kind {
		case frame.HalfClose:
			return s.takeHalfClose(f)
		case frame.Cancel:
			s.end(NewError(CodeCanceled, "the client has canceled the stream"), endedByPeer|endDropping)
			s.hub.disown(msg.Reply) // if it wants to know that it was heard
			return nil
		default:
			return errOutOfPlace
		}
	}
	switch f.Kind {
	case frame.Header:
		return s.takeHeader(f, msg)
	case frame.End:
		return s.takeEnd(f, msg)
	case frame.Ack:
		return nil // of an open that NATS delivered twice: one of the two streams is in the way of the other
	default:
		return errOutOfPlace
	}
}

func (s *stream) takeHalfClose(f frame.Frame) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return nil
	}
	_, err := s.in.Close(f.Seq)
	s.halfClosed = s.in.Closed()
	s.readable.Signal()
	return err
}

func (s *stream) takeHeader(f frame.Frame, msg *nats.Msg) error {
	if headerUnreadable(msg) {
		return errReplyHeader
	}
	header, _ := decodeHeader(msg.Header) // what is no metadata is left out
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.Seq != 1 || len(f.Body) > 0 {
		return errOutOfPlace
	}
	if err := s.in.Take(f.Seq, 0); err != nil {
		return err
	}
	s.header = header
	s.queue = append(s.queue, arrival{kind: frame.Header})
	s.readable.Signal()
	return nil
}

// takeEnd takes the server's last frame.
func (s *stream) takeEnd(f frame.Frame, msg *nats.Msg) error {
	if f.Seq != 0 { // else the server does not know the stream, or not any more
		s.mu.Lock()
		_, err := s.in.Close(f.Seq)
		s.mu.Unlock()
		if err != nil {
			return err
		}
	}
	var status *Error
	switch {
	case headerUnreadable(msg):
		status = errReplyHeader
	case failed(msg):
		status = decodeError(&nats.Msg{Header: msg.Header, Data: f.Body}).notRun(false)
	case f.Seq == 0:
		return errOutOfPlace
	}
	trailer, _ := decodeHeader(msg.Header) // what is no metadata is left out
	s.mu.Lock()
	if !s.ended {
		s.trailer = trailer
	}
	s.mu.Unlock()
	s.end(status, endedByPeer)
	s.hub.leave(msg.Reply) // or the server says it again
	return nil
}

// violation is the error for an end that breaks the rules.
func (s *stream) violation(err error) *Error {
	switch {
	case errors.Is(err, flow.ErrGap), errors.Is(err, flow.ErrDuplicate):
		return Errorf(CodeDataLoss, "the stream of %s is not whole: %w", s.name, err)
	case s.hub.server:
		return Errorf(CodeInvalidArgument, "the client of %s breaks the rules of streams: %w", s.name, err)
	default:
		return Errorf(CodeInternal, "the server of %s breaks the rules of streams: %w", s.name, err)
	}
}

// ending says how a stream ends.
type ending int

const (
	// endedByPeer: the other end has ended it.
	endedByPeer ending = 1 << iota
	// endDropping: what has come and was not read is thrown away.
	endDropping
)

// end ends this end of the stream, so that whoever waits returns. It reports
// whether it had not ended before.
func (s *stream) end(status *Error, how ending) bool {
	s.mu.Lock()
	first := !s.ended
	if first {
		s.ended, s.status, s.byPeer = true, status, how&endedByPeer != 0
		if how&endDropping != 0 { // what has ended well can be read ever after
			s.dropped.Store(true)
			s.queue = nil
		}
		if s.unwatch != nil {
			s.unwatch()
		}
		s.stop() // whoever reads of the end finds the context ended
	}
	s.readable.Broadcast()
	s.writable.Broadcast()
	s.letGo()
	s.mu.Unlock()
	if first {
		s.hub.remove(s)
	}
	return first
}

// watch calls f when ctx ends before the stream.
func (s *stream) watch(ctx context.Context, f func()) {
	unwatch := context.AfterFunc(ctx, f)
	s.mu.Lock()
	s.unwatch = unwatch
	ended := s.ended
	s.mu.Unlock()
	if ended {
		unwatch()
	}
}

// abort ends the stream because of something at this end, and tells the other.
func (s *stream) abort(status *Error, how ending) {
	if !s.end(status, how) {
		return
	}
	if s.hub.server {
		s.sayEnd(status, nil)
		return
	}
	s.mu.Lock()
	to := s.to
	s.mu.Unlock()
	if to != "" {
		s.hub.farewell(s, &nats.Msg{Subject: to, Reply: s.own, Data: frame.Append(nil, frame.Cancel, 0)})
	}
}

// sayEnd sends the last frame of the server, when the stream has ended at this
// end already, so that no other frame follows.
func (s *stream) sayEnd(status *Error, trailer Header) {
	s.sending.Lock()
	defer s.sending.Unlock()
	s.mu.Lock()
	seq := s.out.Next(0)
	s.mu.Unlock()
	s.hub.farewell(s, endMessage(s.to, s.own, seq, status, s.json, trailer, s.hub.nc.MaxPayload()))
}

// endMessage is an End frame: the status in the body and, as in other replies,
// in the NATS headers. What is more than a message of NATS takes is left out.
func endMessage(to, own string, seq uint64, status *Error, json bool, trailer Header, most int64) *nats.Msg {
	msg := &nats.Msg{Subject: to, Reply: own}
	frame := frame.Append(nil, frame.End, seq)
	if status == nil {
		msg.Header, _ = responseHeader(trailer, false) // was checked
		if msg.Data = frame; int64(msg.Size()-len(to)-len(own)) <= most {
			return msg
		}
		status, trailer = tooLarge("the trailing metadata", msg.Size()-len(to)-len(own), most, bus.LessMetadata), nil
	}
	fitError(msg, most-int64(len(frame)), func(metadata Header) { msg.Header, msg.Data = encodeError(status, json, metadata) }, trailer)
	msg.Data = append(frame, msg.Data...)
	return msg
}
