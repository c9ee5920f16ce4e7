package aegis

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
	"github.com/aegisrpc/aegis/runtime/internal/frame"
	"github.com/aegisrpc/aegis/runtime/internal/link"
)

const (
	hubInterval = 250 * time.Millisecond
	// hubLateness is how late a tick shows that the process has been paused: what
	// others have sent meanwhile waits in its socket.
	hubLateness = time.Second
	// syncTicks is how often streams are looked at.
	syncTicks = 4
	// A process that has not been heard for askPeerAfter is asked whether it is
	// there, every askPeerEvery; after peerSilence it is taken for dead.
	askPeerAfter = 500 * time.Millisecond
	askPeerEvery = 500 * time.Millisecond
	peerSilence  = 2500 * time.Millisecond
	// maxFarewells bounds the last frames that wait to be confirmed.
	maxFarewells = 1 << 14
	// farewellTicks and farewellSends say how often a last frame is sent again.
	farewellTicks = 4
	farewellSends = 3
)

// streamHub has the streams of one side of a process: those of the clients of a
// connection, or those of a server. It hands what comes to the streams, and finds
// out which other processes are gone: once for each process, however many streams
// it has.
type streamHub struct {
	nc     *nats.Conn
	link   *link.Link
	prefix string // of the subjects on which frames come
	server bool   // the streams are a server's
	epoch  time.Time
	start  func(func()) bool // starts a goroutine of the connection
	done   <-chan struct{}   // closed with the connection
	clock  atomic.Int64      // ns since epoch, at the last tick

	assembly *assembly // these two are the connection's
	transit  *transit

	mu        sync.RWMutex
	lastID    uint64
	streams   map[uint64]*stream
	opens     map[string]*stream // at a server, by the reply subject of the open
	peers     map[string]*streamPeer
	peersByID map[uint64]*streamPeer
	farewells map[uint64]*farewell
	ticking   bool

	changes  atomic.Uint64 // removals
	recent   *stream       // these two belong to who delivers
	recentAt uint64

	returns uint64    // these are the ticker's own
	came    uint64    // bytes, over the connection
	scan    []*stream // scratch
}

// streamPeer is another process that has streams with this one.
type streamPeer struct {
	id      uint64
	ask     string  // where it is asked whether it is there
	alone   *stream // asked in this stream, as the subject belongs to it
	streams int     // guarded by the hub's mutex
	heard   atomic.Int64
	asked   int64 // the ticker's own
}

// farewell is the last frame of a stream, sent again until it is confirmed.
type farewell struct {
	msg         *nats.Msg
	sent, ticks int
}

func (h *streamHub) init(c *Conn, prefix string, server bool) {
	h.nc, h.link, h.start, h.done, h.assembly, h.transit = c.nc, c.bus.Link, c.start, c.ctx.Done(), &c.assembly, &c.transit
	h.prefix, h.server, h.epoch = prefix, server, time.Now()
	h.streams = make(map[uint64]*stream)
	h.opens = make(map[string]*stream)
	h.peers = make(map[string]*streamPeer)
	h.peersByID = make(map[uint64]*streamPeer)
	h.farewells = make(map[uint64]*farewell)
}

func (h *streamHub) now() int64 { return int64(time.Since(h.epoch)) }

// add gives a stream its number and subject; fills says that much may come on it
// soon. At a server it reports false if the stream of the same open is there already.
func (h *streamHub) add(s *stream, fills bool) bool {
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
	s.own = string(wire.AppendStreamToken([]byte(h.prefix), s.id))
	h.streams[s.id] = s
	s.mu.Lock()
	s.use(fills)
	s.mu.Unlock()
	h.tickWhileNeeded()
	return true
}

// meet says where the other end of a stream listens; h.mu is not held.
func (h *streamHub) meet(s *stream, to string) {
	ask := wire.CallerAlive(to)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.streams[s.id] != s {
		return // it has ended already
	}
	var alone *stream
	if ask == "" {
		ask, alone = to, s
	}
	p := h.peers[ask]
	if p == nil {
		h.lastID++
		p = &streamPeer{id: h.lastID, ask: ask, alone: alone}
		p.heard.Store(h.now())
		h.peers[ask], h.peersByID[p.id] = p, p
	}
	p.streams++
	s.peer.Store(p)
}

func (h *streamHub) remove(s *stream) {
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

// Deliver takes what comes on the subjects of the hub; token is what follows the
// prefix.
func (h *streamHub) Deliver(token string, msg *nats.Msg) {
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
			p.hear(h.clock.Load())
		}
	}
}

// find returns the stream with this number. What comes is most often for the
// stream that something came for just before.
func (h *streamHub) find(id uint64) *stream {
	changes := h.changes.Load() // before the look
	if h.recent != nil && h.recent.id == id && h.recentAt == changes {
		return h.recent
	}
	h.mu.RLock()
	defer h.mu.RUnlock()
	h.recent, h.recentAt = h.streams[id], changes
	return h.recent
}

// stray takes what comes for a stream that has ended here, or never was.
func (h *streamHub) stray(id uint64, msg *nats.Msg) {
	f, err := frame.Decode(msg.Data)
	if err != nil {
		return
	}
	h.mu.Lock()
	last := h.farewells[id]
	if f.Kind == frame.Cancel || f.Kind == frame.End {
		delete(h.farewells, id) // which it confirms
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

// leave tells a server that this client has done with a stream.
func (h *streamHub) leave(to string) {
	if to != "" {
		_ = h.nc.Publish(to, frame.Append(nil, frame.Cancel, 0)) // or it is told when it asks again
	}
}

// disown tells a client that this server has no such stream.
func (h *streamHub) disown(to string) {
	if to != "" {
		err := NewError(CodeUnavailable, "the server has no such stream, or has it no longer")
		_ = h.nc.PublishMsg(endMessage(to, "", 0, err, false, nil, h.nc.MaxPayload())) // as above
	}
}

// farewell sends the last frame of a stream, again and again until the other end
// confirms it.
func (h *streamHub) farewell(s *stream, msg *nats.Msg) {
	h.mu.Lock()
	h.tickWhileNeeded()
	if h.ticking && len(h.farewells) < maxFarewells {
		h.farewells[s.id] = &farewell{msg: msg, sent: 1}
	}
	h.mu.Unlock()
	_ = h.nc.PublishMsg(msg)
}

// forget says last frames no more.
func (h *streamHub) forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	clear(h.farewells)
}

// lost ends the streams with a process that is gone; at once means that NATS has
// said so, so that there is nobody to tell.
func (h *streamHub) lost(p *streamPeer, atOnce bool) {
	if p == nil {
		return
	}
	for _, s := range h.all(func(s *stream) bool { return s.peer.Load() == p }) {
		err := s.lostError(atOnce)
		switch {
		case atOnce:
			s.end(err, 0)
		case !h.server:
			s.abort(err, 0)
		case s.end(err, 0): // the client may be there after all, and has canceled nothing
			s.sayEnd(NewError(CodeUnavailable, err.Message()), nil)
		}
	}
}

func (s *stream) lostError(atOnce bool) *Error {
	other, code := "server", CodeUnavailable
	if s.hub.server {
		other, code = "client", CodeCanceled
	}
	switch {
	case atOnce:
		return Errorf(code, "the %s of the stream of %s is gone: nobody listens on its subjects any more", other, s.name)
	case !s.hub.nc.IsConnected():
		return Errorf(code, "the stream of %s has ended: no connection to NATS for %v", s.name, peerSilence)
	default:
		return Errorf(code, "the %s of the stream of %s is gone, or cannot be reached: no sign of life for %v", other, s.name, peerSilence)
	}
}

// all returns the streams that a condition holds for.
func (h *streamHub) all(is func(*stream) bool) []*stream {
	h.mu.RLock()
	defer h.mu.RUnlock()
	var list []*stream
	for _, s := range h.streams {
		if is(s) {
			list = append(list, s)
		}
	}
	return list
}

// fail ends the streams that a condition holds for.
func (h *streamHub) fail(is func(*stream) bool, err *Error) {
	for _, s := range h.all(is) {
		s.abort(err, 0)
	}
}

// uses reports whether the other end hears this one, or is asked whether it
// lives, on a subject.
func (s *stream) uses(subject string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.peer.Load()
	return s.to == subject || p != nil && p.ask == subject
}

// failTargets ends the streams whose opens went to certain subjects.
func (h *streamHub) failTargets(is func(target string) bool, err *Error) {
	h.fail(func(s *stream) bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.target != "" && is(s.target)
	}, err)
}

func (h *streamHub) publishError(err error) *Error {
	if errors.Is(err, nats.ErrConnectionClosed) || errors.Is(err, nats.ErrConnectionDraining) {
		return connClosed()
	}
	if bus.LinkBroke(err) {
		return Errorf(CodeUnavailable, "the connection to NATS broke: %w", err)
	}
	return Errorf(CodeInternal, "cannot publish: %w", err)
}

// tickWhileNeeded starts the ticker unless it runs; h.mu is held.
func (h *streamHub) tickWhileNeeded() {
	if h.ticking {
		return
	}
	h.clock.Store(h.now())
	h.returns = h.link.Returns()
	h.ticking = h.start(h.tickUntilIdle)
}

func (h *streamHub) tickUntilIdle() {
	ticker := time.NewTicker(hubInterval)
	defer ticker.Stop()
	for n := 1; ; n++ {
		closed := false
		select {
		case <-ticker.C:
			h.tick(n)
		case <-h.done:
			closed = true
		}
		h.mu.Lock()
		if closed { // there is nobody to say anything to
			clear(h.farewells)
		}
		if len(h.streams)+len(h.farewells) == 0 || closed {
			h.ticking = false
			h.mu.Unlock()
			return
		}
		h.mu.Unlock()
	}
}

func (h *streamHub) tick(n int) {
	now := h.now()
	paused := now-h.clock.Swap(now) > int64(hubInterval+hubLateness)
	came := h.nc.Stats().InBytes
	comes := came != h.came
	h.came = came
	h.tickPeers(now, paused, comes)
	h.tickFarewells()
	state := h.link.State()
	cameUp := state.Up && state.Returns != h.returns
	if cameUp {
		h.returns = state.Returns
	}
	if n%syncTicks == 0 || cameUp {
		h.tickStreams(cameUp)
	}
}

// tickPeers asks those that have been silent, and gives up those that do not
// answer. While NATS answers late although something comes, the silence is that of
// the link, whose queue the answers are in; the others are asked all the same, which
// tells them that this process is there.
func (h *streamHub) tickPeers(now int64, paused, comes bool) {
	var ask, dead []*streamPeer
	lags := h.transit.Lags()
	h.mu.RLock()
	for _, p := range h.peers {
		if paused {
			p.asked = 0
		}
		if paused || lags && comes {
			p.heard.Store(now)
		}
		silent := now - p.heard.Load()
		switch {
		case silent >= int64(peerSilence):
			dead = append(dead, p)
		case (lags || silent >= int64(askPeerAfter)) && now-p.asked >= int64(askPeerEvery), paused:
			p.asked = now
			ask = append(ask, p)
		}
	}
	h.mu.RUnlock()
	if len(ask) > 0 {
		h.transit.Ask() // whether it is the link
	}
	for _, p := range ask {
		h.askPeer(p)
	}
	for _, p := range dead {
		h.lost(p, false)
	}
}

// askPeer asks whether a process is there. The answer, or NATS's word that
// nobody listens, comes to the hub.
func (h *streamHub) askPeer(p *streamPeer) {
	if p.alone != nil {
		p.alone.ping()
		return
	}
	_ = h.nc.PublishRequest(p.ask, h.prefix+peerToken(p.id), nil) // it is asked again
}

// AskedBy takes it for a sign of life that another process asks, which is answered
// on reply.
func (h *streamHub) AskedBy(reply string) {
	i := strings.LastIndexByte(reply, '.')
	if i < 0 {
		return
	}
	h.mu.RLock()
	p := h.peers[reply[:i+1]+wire.CallerAliveToken]
	h.mu.RUnlock()
	if p != nil {
		p.hear(h.clock.Load())
	}
}

func (p *streamPeer) hear(now int64) {
	if p.heard.Load() != now {
		p.heard.Store(now)
	}
}

// peerToken is the last token of the subject on which a process is answered.
func peerToken(id uint64) string { return "L" + strconv.FormatUint(id, 36) }

func parsePeerToken(token string) (id uint64, ok bool) {
	rest, ok := strings.CutPrefix(token, "L")
	if !ok {
		return 0, false
	}
	id, err := strconv.ParseUint(rest, 36, 64)
	return id, err == nil
}

func (h *streamHub) tickFarewells() {
	var again []*nats.Msg
	h.mu.Lock()
	for id, f := range h.farewells {
		if f.ticks++; f.ticks%farewellTicks != 0 {
			continue
		}
		if f.sent++; f.sent > farewellSends {
			delete(h.farewells, id)
			continue
		}
		again = append(again, f.msg)
	}
	h.mu.Unlock()
	for _, msg := range again {
		_ = h.nc.PublishMsg(msg)
	}
}

func (h *streamHub) tickStreams(cameUp bool) {
	h.mu.RLock()
	h.scan = h.scan[:0]
	for _, s := range h.streams {
		h.scan = append(h.scan, s)
	}
	h.mu.RUnlock()
	for i, s := range h.scan {
		s.synchronize(cameUp)
		h.scan[i] = nil
	}
	if cap(h.scan) > 1<<10 && len(h.scan) < cap(h.scan)/4 {
		h.scan = nil
	}
}

// synchronizer is what the hub remembers of a stream from one look to the next.
type synchronizer struct {
	sent        uint64
	received    uint64
	pause, left int // looks until the next Ping
}

const (
	maxSyncPause = 16 // looks
	maxKeptQueue = 64 // arrivals
)

// synchronize is called every second. If this end has sent something and is
// quiet now, it asks whether all has come, and how far it may go: what was lost
// last would not be missed otherwise, and a credit that was lost would be waited
// for. A stream on which all is well stays silent.
func (s *stream) synchronize(cameUp bool) {
	s.mu.Lock()
	if s.idle && len(s.queue) == 0 && cap(s.queue)+cap(s.batch) > maxKeptQueue {
		s.queue, s.batch, s.at = nil, nil, 0
	}
	y := &s.sync
	s.use(!s.ended && s.in.Received() != y.received)
	y.received = s.in.Received()
	sent := s.out.Sent()
	wanted := false
	switch {
	case s.to == "" || s.ended:
	case sent != y.sent:
		y.sent, y.pause, y.left = sent, 1, 0
	case !s.out.Settled():
		wanted = true
	case !s.out.Ready():
		if y.left--; y.left < 0 {
			wanted = true
			y.pause = min(2*y.pause, maxSyncPause)
			y.left = y.pause
		}
	}
	if cameUp && s.to != "" {
		wanted = true
		s.writable.Broadcast()
	}
	s.mu.Unlock()
	if wanted {
		s.ping()
	}
}

func (s *stream) ping() {
	s.mu.Lock()
	to, position := s.to, s.position()
	s.mu.Unlock()
	s.tell(frame.Ping, to, s.own, position)
}
