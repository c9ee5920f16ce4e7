package rpcstream

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/rpcstream/flow"
	"github.com/aegisrpc/aegis/runtime/internal/rpcstream/frame"
	"github.com/aegisrpc/aegis/runtime/internal/status"
)

// EOF tells the reader of a stream that it has ended well and was read to its end, and the
// writer that the other end has ended the stream.
var EOF = status.New(status.Unknown, "the stream has ended")

// Config is what a stream is made with.
type Config struct {
	Name string // of the method
	JSON bool   // messages, and the body of the last status, are JSON
	// MaxMessage is the most bytes of a message that travels in parts; 0: none does.
	MaxMessage int
	// Window is the largest window that the other end is given, and Limit how far this end
	// may send at first.
	Window flow.Window
	Limit  flow.Limit
	// To is the subject to which frames go; "" at a client, which learns it from the ack.
	To string
	// Ended is called once with the status of the end, which is nil if that is OK; nil for
	// none. It must not wait.
	Ended func(*status.Status)
}

// Stream is one end of a stream. The reader and the writer are the user's
// goroutines, one of each at a time; frames arrive in the one goroutine of a
// subscription, which never waits for either.
//
// The locks are taken in this order: reader, writer, Hub.mu, Stream.mu, Transit.mu.
type Stream struct {
	Config

	hub  *Hub
	id   uint64
	own  string               // the subject on which frames come
	peer atomic.Pointer[peer] // the process of the other end; nil until that is known
	stop context.CancelFunc   // ends the context of the call
	open opening

	reading  reading
	mu       sync.Mutex // guards the fields down to sync
	readable sync.Cond
	writable sync.Cond
	to       string // the subject to which frames go; at a client "" until the ack has come
	out      flow.Out
	in       flow.In
	arrived  arrivals
	end      endState
	metadata metadata
	sync     synchronizer

	reader reader
	writer writer
}

// opening is how a client opens a stream.
type opening struct {
	slot   atomic.Pointer[bus.Slot] // waits for the answer to the open; nil before and after that
	target string                   // the subject of the open; guarded by Stream.mu
}

// arrival is a numbered frame that has come and is to be read.
type arrival struct {
	kind frame.Kind
	body []byte
}

// arrivals are the frames that have come and that the reader has not fetched, and the memory
// of those that it has put together; guarded by Stream.mu.
type arrivals struct {
	queue []arrival
	idle  bool  // the reader waits, and has read all that it fetched
	held  int64 // bytes of parts of a message that is not whole, which count against the hub's assembly
}

// endState is how far a stream has ended; guarded by Stream.mu.
type endState struct {
	ended      bool
	status     *status.Status // with which it has ended; nil: OK
	byPeer     bool           // the other end has ended it
	halfClosed bool           // the client of this server sends no more messages
	sendClosed bool           // this client sends no more messages
	unwatch    func() bool    // stops looking at the context of the call
}

// metadata are, at a client, the headers with the server's metadata; guarded by
// Stream.mu.
type metadata struct{ header, trailer nats.Header }

// reading says whether a stream is read. It stands apart from the reader's own fields, as
// it is looked at for each frame that comes.
type reading struct {
	// dropped says that messages are not read any more, neither those that have come nor
	// those that come.
	dropped atomic.Bool
	// unwanted says that the reading was closed. It is set before dropped, for which the
	// lock of the reader is needed.
	unwanted atomic.Bool
}

// reader is what belongs to the reader of a stream. The reader holds the lock, also while
// it waits.
type reader struct {
	sync.Mutex

	batch    []arrival // fetched
	at       int       // in batch: the next to be read
	consumed flow.Limit
	due      flow.Limit     // at which the other end is given credit
	counted  uint64         // bytes that the transit knows of
	parts    [][]byte       // of a message that is not whole
	partial  int            // the bytes of parts
	failed   *status.Status // the stream was ended because this could not be read
}

// writer is what belongs to the writer of a stream. The lock is held from the number of a
// frame to its publishing, so that frames are published in the order of their numbers.
type writer struct {
	sync.Mutex

	published atomic.Uint64 // the number of the last frame
}

// Init prepares a stream; stop ends the context of the call. It returns the window that
// the other end has at first: the wanted one, or less if the connection carries less.
func (s *Stream) Init(hub *Hub, c Config, stop context.CancelFunc) flow.Window {
	s.hub, s.Config, s.to, s.stop = hub, c, c.To, stop
	s.readable.L, s.writable.L = &s.mu, &s.mu
	first := hub.transit.window(c.Window, 1)
	s.in, s.out = flow.NewIn(first), flow.NewOut(c.Limit)
	s.reader.due = s.in.Due()
	return first
}

// Own returns the subject on which frames come, once the stream was added to its hub.
func (s *Stream) Own() string { return s.own }

// Incoming returns how far the other end may send.
func (s *Stream) Incoming() flow.Limit { return s.in.Limit() }

// Ended returns the status of the end; nil if that is OK, or has not come.
func (s *Stream) Ended() *status.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.end.status
}

// Metadata returns, at a client, the headers with the metadata that the server has sent so
// far; nil for those that have not come.
func (s *Stream) Metadata() (header, trailer nats.Header) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.metadata.header, s.metadata.trailer
}

// deliver takes a message that has come on the stream's own subject.
func (s *Stream) deliver(msg *nats.Msg) {
	if p := s.peer.Load(); p != nil {
		p.hear(s.hub.ticker.clock.Load())
	}
	if slot := s.open.slot.Load(); slot != nil && slot.Give(msg) { // the answer to the open
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
		s.Abort(s.violation(err), 0)
	}
}

// credit takes a Credit, or a Ping, which is answered with a Credit.
func (s *Stream) credit(f frame.Frame, reply string) error {
	p, err := frame.DecodePosition(f.Body)
	if err != nil {
		return err
	}
	s.mu.Lock()
	if s.end.ended {
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

// position returns the body of a Credit or a Ping; s.mu is held.
func (s *Stream) position() frame.Position {
	return frame.Position{Received: s.in.Received(), Limit: s.in.Limit()}
}

// tell sends a Credit or a Ping. If one is lost, the next one says the same or more.
func (s *Stream) tell(kind frame.Kind, to, reply string, p frame.Position) {
	b := frame.AppendPosition(frame.Append(make([]byte, 0, 40), kind, s.writer.published.Load()), p)
	if reply == "" {
		_ = s.hub.nc.Publish(to, b)
	} else {
		_ = s.hub.nc.PublishRequest(to, reply, b)
	}
}

// errUnreadable says that the headers of a frame cannot be read.
var errUnreadable = errors.New("the header cannot be read")

var errOutOfPlace = errors.New("a frame that the other end must not send there")

// turn takes the frames by which a stream begins or ends.
func (s *Stream) turn(f frame.Frame, msg *nats.Msg) error {
	if s.hub.server {
		switch f.Kind {
		case frame.HalfClose:
			return s.takeHalfClose(f)
		case frame.Cancel:
			s.End(canceledByClient(), byPeer|Dropping)
			s.hub.disown(msg.Reply) // confirms the Cancel, if the client asks for that
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

// takeHalfClose takes the word of a client that no more messages follow.
func (s *Stream) takeHalfClose(f frame.Frame) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.end.ended {
		return nil
	}
	_, err := s.in.Close(f.Seq)
	s.end.halfClosed = s.in.Closed()
	s.readable.Signal()
	return err
}

// takeHeader takes the server's metadata.
func (s *Stream) takeHeader(f frame.Frame, msg *nats.Msg) error {
	if bus.HeaderUnreadable(msg) {
		return errUnreadable
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.Seq != 1 || len(f.Body) > 0 {
		return errOutOfPlace
	}
	if err := s.in.Take(f.Seq, 0); err != nil {
		return err
	}
	s.metadata.header = msg.Header
	s.arrived.queue = append(s.arrived.queue, arrival{kind: frame.Header})
	s.readable.Signal()
	return nil
}

// takeEnd takes the server's last frame.
func (s *Stream) takeEnd(f frame.Frame, msg *nats.Msg) error {
	if f.Seq != 0 { // with 0 the server says that it does not know the stream
		s.mu.Lock()
		_, err := s.in.Close(f.Seq)
		s.mu.Unlock()
		if err != nil {
			return err
		}
	}
	var end *status.Status
	switch {
	case bus.HeaderUnreadable(msg):
		end = bus.UnreadableReply
	case status.Failed(msg.Header):
		end = status.Decode(msg.Header, f.Body)
		end = end.WithNotRun(end.RefusedByInterceptor()) // else the handler has run so far
	case f.Seq == 0:
		return errOutOfPlace
	}
	s.mu.Lock()
	if !s.end.ended {
		s.metadata.trailer = msg.Header
	}
	s.mu.Unlock()
	s.End(end, byPeer)
	s.hub.leave(msg.Reply) // if it is lost, the server sends its End again
	return nil
}

// violation returns the status of a stream whose other end breaks the rules.
func (s *Stream) violation(err error) *status.Status {
	switch {
	case errors.Is(err, errUnreadable):
		return bus.UnreadableReply
	case errors.Is(err, flow.ErrGap), errors.Is(err, flow.ErrDuplicate):
		return status.Newf(status.DataLoss, "the stream of %s is not whole: %w", s.Name, err)
	case s.hub.server:
		return status.Newf(status.InvalidArgument, "the client of %s breaks the rules of streams: %w", s.Name, err)
	default:
		return status.Newf(status.Internal, "the server of %s breaks the rules of streams: %w", s.Name, err)
	}
}

// Ending is a set of flags that say how a stream ends.
type Ending int

const (
	// byPeer says that the other end has ended it.
	byPeer Ending = 1 << iota
	// Dropping says that messages which have come and were not read are thrown away.
	Dropping
)

// End ends this end of the stream, so that its reader and its writer return. Nothing is
// sent. It reports false if the stream had ended before.
func (s *Stream) End(why *status.Status, how Ending) bool {
	s.mu.Lock()
	first := !s.end.ended
	if first {
		s.end.ended, s.end.status, s.end.byPeer = true, why, how&byPeer != 0
		if how&Dropping != 0 {
			s.reading.dropped.Store(true)
			s.arrived.queue = nil
		}
		if s.end.unwatch != nil {
			s.end.unwatch()
		}
		s.stop() // before the reader returns, so that it finds the context ended
	}
	s.readable.Broadcast()
	s.writable.Broadcast()
	s.letGo()
	s.mu.Unlock()
	if first {
		s.hub.remove(s)
		if s.Config.Ended != nil {
			s.Config.Ended(why)
		}
	}
	return first
}

// Watch has f called when ctx ends before the stream.
func (s *Stream) Watch(ctx context.Context, f func()) {
	unwatch := context.AfterFunc(ctx, f)
	s.mu.Lock()
	s.end.unwatch = unwatch
	ended := s.end.ended
	s.mu.Unlock()
	if ended {
		unwatch()
	}
}

// Abort ends the stream because of something at this end, and tells the other end.
func (s *Stream) Abort(why *status.Status, how Ending) {
	if !s.End(why, how) {
		return
	}
	if s.hub.server {
		s.SayEnd(why, nil)
		return
	}
	s.mu.Lock()
	to := s.to
	s.mu.Unlock()
	if to != "" {
		s.hub.farewell(s, &nats.Msg{Subject: to, Reply: s.own, Data: frame.Append(nil, frame.Cancel, 0)})
	}
}

// SayEnd sends the last frame of the server, with the trailing metadata in its headers. The
// stream has ended at this end already, so that no other frame follows.
func (s *Stream) SayEnd(why *status.Status, trailer nats.Header) {
	s.writer.Lock()
	defer s.writer.Unlock()
	s.mu.Lock()
	seq := s.out.Next(0)
	s.mu.Unlock()
	s.hub.farewell(s, endMessage(s.to, s.own, seq, why, s.JSON, trailer, s.hub.nc.MaxPayload()))
}

// endMessage returns an End frame with the status in the body and, as in other replies, in
// the NATS headers. Details or metadata for which a message of NATS has no room are left
// out.
func endMessage(to, own string, seq uint64, why *status.Status, json bool, trailer nats.Header, most int64) *nats.Msg {
	msg := &nats.Msg{Subject: to, Reply: own, Header: trailer}
	end := frame.Append(nil, frame.End, seq)
	if why == nil {
		if msg.Data = end; int64(msg.Size()-len(to)-len(own)) <= most {
			return msg
		}
		why, trailer = bus.TooLarge("the trailing metadata", msg.Size()-len(to)-len(own), most, bus.LessMetadata), nil
	}
	why.Fit(msg, most-int64(len(end)), json, trailer)
	msg.Data = append(end, msg.Data...)
	return msg
}

func canceledByClient() *status.Status {
	return status.New(status.Canceled, "the client has canceled the stream")
}
