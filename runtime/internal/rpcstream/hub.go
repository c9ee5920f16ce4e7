// Package rpcstream is one end of a stream of messages, and the hub of the streams of the
// clients of a connection, or of a server. A message is bytes here, which the users of a
// stream marshal. The frames that the two ends send each other are described in
// docs/protocol.md.
package rpcstream

import (
	"errors"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/link"
	"github.com/aegisrpc/aegis/runtime/internal/rpcstream/frame"
	"github.com/aegisrpc/aegis/runtime/internal/status"
)

// maxFarewells bounds the last frames that wait to be confirmed.
const maxFarewells = 1 << 14

// Hub has the streams of one side of a process: those of the clients of a
// connection, or those of a server. It hands what comes to the streams, and finds
// out which other processes are gone: once for each process, however many streams
// it has.
type Hub struct {
	// Prefix is that of the subjects on which frames come.
	Prefix string

	nc       *nats.Conn
	link     *link.Link
	server   bool              // the streams are a server's
	start    func(func()) bool // starts a goroutine of the connection
	done     <-chan struct{}   // closed with the connection, by that
	assembly *Assembly         // the connection's
	transit  *Transit          // the connection's

	mu        sync.RWMutex // guards the fields down to farewells, and ticker.running
	lastID    uint64
	streams   map[uint64]*Stream
	opens     map[string]*Stream // at a server, by the reply subject of the open
	peers     map[string]*peer   // by the subject on which they are asked
	peersByID map[uint64]*peer
	farewells map[uint64]*farewell

	changes atomic.Uint64 // counts the streams that were removed
	recent  recent
	ticker  ticker
}

// recent is the stream that something has come for last. It belongs to the goroutine
// that delivers frames.
type recent struct {
	stream *Stream
	at     uint64 // Hub.changes then
}

// peer is another process that has streams with this one.
type peer struct {
	id      uint64
	ask     string       // the subject on which it is asked whether it is there
	alone   *Stream      // if not nil, ask belongs to this stream, in which a Ping asks
	streams int          // how many it has with this process; guarded by Hub.mu
	heard   atomic.Int64 // ticker.clock when it was heard last
	asked   int64        // ticker.clock when it was asked last; only the ticker uses it
}

// farewell is the last frame of a stream, which is sent again until the other end confirms
// it; guarded by Hub.mu.
type farewell struct {
	msg   *nats.Msg
	sent  int // how often it was sent
	ticks int // how many ticks ago it was sent first
}

// Connection is what a hub needs of its connection.
type Connection struct {
	Bus      *bus.Bus
	Start    func(func()) bool // starts a goroutine, unless the connection is closed
	Done     <-chan struct{}   // closed with the connection, by that
	Assembly *Assembly
	Transit  *Transit
}

// Init makes h the hub of the clients of a connection, or of a server; prefix is that of
// the subjects on which frames come.
func (h *Hub) Init(c Connection, prefix string, server bool) {
	h.nc, h.link, h.start, h.done, h.assembly, h.transit = c.Bus.NATS, c.Bus.Link, c.Start, c.Done, c.Assembly, c.Transit
	h.Prefix, h.server, h.ticker.epoch = prefix, server, time.Now()
	h.streams = make(map[uint64]*Stream)
	h.opens = make(map[string]*Stream)
	h.peers = make(map[string]*peer)
	h.peersByID = make(map[uint64]*peer)
	h.farewells = make(map[uint64]*farewell)
}

// Add gives a stream its number and its own subject; fills says that much may come on it
// soon. At a server it reports false if the open has come twice, and has its stream
// already.
func (h *Hub) Add(s *Stream, fills bool) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.server {
		if h.opens[s.to] != nil {
			return false
		}
		h.opens[s.to] = s
	}
	h.lastID++
	s.id = h.lastID
	s.own = string(wire.AppendStreamToken([]byte(h.Prefix), s.id))
	h.streams[s.id] = s
	s.mu.Lock()
	s.use(fills)
	s.mu.Unlock()
	h.tickWhileNeeded()
	return true
}

// meet notes the subject on which the other end of a stream listens, and with it the
// process of that end; h.mu is not held.
func (h *Hub) meet(s *Stream, to string) {
	ask := wire.CallerAlive(to)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.streams[s.id] != s {
		return // the stream has ended already
	}
	var alone *Stream
	if ask == "" {
		ask, alone = to, s
	}
	p := h.peers[ask]
	if p == nil {
		h.lastID++
		p = &peer{id: h.lastID, ask: ask, alone: alone}
		p.heard.Store(h.now())
		h.peers[ask], h.peersByID[p.id] = p, p
	}
	p.streams++
	s.peer.Store(p)
}

// remove takes a stream out that has ended.
func (h *Hub) remove(s *Stream) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.streams[s.id] != s {
		return
	}
	delete(h.streams, s.id)
	h.changes.Add(1)
	s.mu.Lock()
	s.use(false)
	s.mu.Unlock()
	if h.server {
		delete(h.opens, s.to)
	}
	if p := s.peer.Load(); p != nil {
		if p.streams--; p.streams == 0 {
			delete(h.peers, p.ask)
			delete(h.peersByID, p.id)
		}
	}
}

// Deliver takes a message that has come on a subject of the hub; token is the subject
// without the prefix. It is called by one goroutine.
func (h *Hub) Deliver(token string, msg *nats.Msg) {
	if len(msg.Data) > 0 && msg.Data[0] == '{' && h.stored(token, msg) {
		return
	}
	if id, ok := wire.ParseStreamToken(token); ok {
		if s := h.find(id); s != nil {
			s.deliver(msg)
		} else {
			h.stray(id, msg)
		}
		return
	}
	if id, ok := parsePeerToken(token); ok {
		h.mu.RLock()
		p := h.peersByID[id]
		h.mu.RUnlock()
		switch {
		case p == nil:
		case bus.NoResponders(msg):
			h.lost(p, true)
		default:
			p.hear(h.ticker.clock.Load())
		}
	}
}

// Cancel ends a server's stream whose client waits no longer for the answer to its open;
// reply is the subject of that answer. It reports whether there is such a stream.
func (h *Hub) Cancel(reply string) bool {
	h.mu.RLock()
	s := h.opens[reply]
	h.mu.RUnlock()
	if s == nil {
		return false
	}
	s.End(canceledByClient(), byPeer|Dropping)
	return true
}

// stored reports whether a message is JetStream's word that one of its streams stores
// what was sent, and neither a frame nor a sign of life. The request that opens a stream
// remembers by which it is stored.
func (h *Hub) stored(token string, msg *nats.Msg) bool {
	by, ok := wire.StoredBy(msg.Data)
	if !ok || len(msg.Header) > 0 {
		return false
	}
	if id, isStream := wire.ParseStreamToken(token); isStream {
		if s := h.find(id); s != nil {
			if slot := s.open.slot.Load(); slot != nil {
				slot.StoredBy(by)
			}
		}
	}
	return true
}

// find returns the stream with this number. Most frames are for the stream that the frame
// before was for.
func (h *Hub) find(id uint64) *Stream {
	changes := h.changes.Load() // before the map is read
	if s := h.recent.stream; s != nil && s.id == id && h.recent.at == changes {
		return s
	}
	h.mu.RLock()
	defer h.mu.RUnlock()
	h.recent = recent{h.streams[id], changes}
	return h.recent.stream
}

// stray takes a frame for a stream that has ended here, or never was.
func (h *Hub) stray(id uint64, msg *nats.Msg) {
	f, err := frame.Decode(msg.Data)
	if err != nil {
		return
	}
	h.mu.Lock()
	last := h.farewells[id]
	if f.Kind == frame.Cancel || f.Kind == frame.End {
		delete(h.farewells, id) // the frame confirms it
	}
	h.mu.Unlock()
	switch {
	case msg.Reply == "" || f.Kind == frame.Credit:
	case !h.server:
		h.leave(msg.Reply)
	case last != nil && f.Kind != frame.Cancel:
		_ = h.nc.PublishMsg(last.msg)
	default:
		h.disown(msg.Reply)
	}
}

// leave tells a server that this client wants nothing more of a stream.
func (h *Hub) leave(to string) {
	if to != "" {
		_ = h.nc.Publish(to, frame.Append(nil, frame.Cancel, 0)) // if it is lost, the server asks again
	}
}

// disown tells a client that this server has no such stream.
func (h *Hub) disown(to string) {
	if to != "" {
		why := status.New(status.Unavailable, "the server has no such stream, or has it no longer")
		_ = h.nc.PublishMsg(endMessage(to, "", 0, why, false, nil, h.nc.MaxPayload())) // if it is lost, the client asks again
	}
}

// farewell sends the last frame of a stream, again and again until the other end
// confirms it.
func (h *Hub) farewell(s *Stream, msg *nats.Msg) {
	h.mu.Lock()
	h.tickWhileNeeded()
	if h.ticker.running && len(h.farewells) < maxFarewells {
		h.farewells[s.id] = &farewell{msg: msg, sent: 1}
	}
	h.mu.Unlock()
	_ = h.nc.PublishMsg(msg)
}

// DropFarewells has no last frame sent again.
func (h *Hub) DropFarewells() {
	h.mu.Lock()
	defer h.mu.Unlock()
	clear(h.farewells)
}

// lost ends the streams with a process that is gone; atOnce says that NATS has said so,
// so that no last frame is sent to it.
func (h *Hub) lost(p *peer, atOnce bool) {
	if p == nil {
		return
	}
	for _, s := range h.all(func(s *Stream) bool { return s.peer.Load() == p }) {
		why := s.lostStatus(atOnce)
		switch {
		case atOnce:
			s.End(why, 0)
		case !h.server:
			s.Abort(why, 0)
		case s.End(why, 0): // the client may be there after all, and the cancel is not its own
			s.SayEnd(status.New(status.Unavailable, why.Message), nil)
		}
	}
}

// lostStatus returns the status of a stream whose other end is gone.
func (s *Stream) lostStatus(atOnce bool) *status.Status {
	other, code := "server", status.Unavailable
	if s.hub.server {
		other, code = "client", status.Canceled
	}
	switch {
	case atOnce:
		return status.Newf(code, "the %s of the stream of %s is gone: nobody listens on its subjects any more", other, s.Name)
	case !s.hub.nc.IsConnected():
		return status.Newf(code, "the stream of %s has ended: no connection to NATS for %v", s.Name, peerSilence)
	default:
		return status.Newf(code, "the %s of the stream of %s is gone, or cannot be reached: no sign of life for %v", other, s.Name, peerSilence)
	}
}

// all returns the streams for which a condition holds; it may lock them.
func (h *Hub) all(is func(*Stream) bool) []*Stream {
	h.mu.RLock()
	defer h.mu.RUnlock()
	var list []*Stream
	for _, s := range h.streams {
		if is(s) {
			list = append(list, s)
		}
	}
	return list
}

// Kept returns how much the hub holds: streams, other processes, and last frames that
// were not confirmed. Tests look for leaks with it.
func (h *Hub) Kept() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.streams) + len(h.opens) + len(h.peers) + len(h.peersByID) + len(h.farewells)
}

// Streams returns how many streams are open.
func (h *Hub) Streams() int {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return len(h.streams)
}

// Fail ends all streams.
func (h *Hub) Fail(why *status.Status) { h.fail(func(*Stream) bool { return true }, why) }

func (h *Hub) fail(is func(*Stream) bool, why *status.Status) {
	for _, s := range h.all(is) {
		s.Abort(why, 0)
	}
}

// Deny ends the streams that send to a subject to which NATS does not let this user
// publish.
func (h *Hub) Deny(subject string, why *status.Status) {
	h.fail(func(s *Stream) bool { return s.uses(subject) }, why)
}

// uses reports whether this end sends its frames, or the question whether the other end
// lives, to a subject.
func (s *Stream) uses(subject string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.peer.Load()
	return s.to == subject || p != nil && p.ask == subject
}

// FailTargets ends the streams whose opens went to certain subjects.
func (h *Hub) FailTargets(is func(target string) bool, why *status.Status) {
	h.fail(func(s *Stream) bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.open.target != "" && is(s.open.target)
	}, why)
}

func (h *Hub) publishError(err error) *status.Status {
	if errors.Is(err, nats.ErrConnectionClosed) || errors.Is(err, nats.ErrConnectionDraining) {
		return bus.Closed()
	}
	if bus.LinkBroke(err) {
		return status.Newf(status.Unavailable, "the connection to NATS broke: %w", err)
	}
	return status.Newf(status.Internal, "cannot publish: %w", err)
}

// AskedBy takes the question of another process whether this one is there for a sign of
// its life; reply is the subject on which it is answered.
func (h *Hub) AskedBy(reply string) {
	i := strings.LastIndexByte(reply, '.')
	if i < 0 {
		return
	}
	h.mu.RLock()
	p := h.peers[reply[:i+1]+wire.CallerAliveToken]
	h.mu.RUnlock()
	if p != nil {
		p.hear(h.ticker.clock.Load())
	}
}

func (p *peer) hear(now int64) {
	if p.heard.Load() != now {
		p.heard.Store(now)
	}
}

// peerToken is the last token of the subject on which another process answers that it is
// there.
func peerToken(id uint64) string { return "L" + strconv.FormatUint(id, 36) }

func parsePeerToken(token string) (id uint64, ok bool) {
	rest, ok := strings.CutPrefix(token, "L")
	if !ok {
		return 0, false
	}
	id, err := strconv.ParseUint(rest, 36, 64)
	return id, err == nil
}
