// Package lossy is a TCP proxy in front of a NATS server that understands what
// the server sends, so that single messages meet with faults on their way.
package lossy

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Fate is what happens to a message.
type Fate int

// What may happen to a message.
const (
	Passed  Fate = iota
	Lost         //
	Doubled      // it comes twice
	Swapped      // it changes places with the next
	Delayed      // it comes late, and so does all that follows
)

// Message is a message on its way to who is connected through a Link.
type Message struct {
	Subject string
	Headers bool
	Payload []byte
}

// OfStream reports whether it is a frame of a stream: the last token of the
// subject says so.
func (m *Message) OfStream() bool {
	i := strings.LastIndexByte(m.Subject, '.')
	return i > 0 && i+1 < len(m.Subject) && m.Subject[i+1] == 'S' && len(m.Payload) > 0
}

// Link is such a proxy.
type Link struct {
	listener net.Listener
	target   string
	decide   func(*Message) Fate
	delay    time.Duration
	running  sync.WaitGroup

	rate      atomic.Int64  // bytes a second in each direction; 0: as many as come
	swallowed chan struct{} // closed when nothing passes any more
	swallow   sync.Once
	ended     chan struct{} // closed by Close

	mu     sync.Mutex
	conns  map[net.Conn]struct{}
	closed bool
}

// New starts a proxy on the loopback interface in front of target, a host and a
// port. What decide says happens to each message, Delayed ones come delay later.
// It is called by several goroutines at once.
func New(target string, delay time.Duration, decide func(*Message) Fate) (*Link, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // no name is looked up
	if err != nil {
		return nil, err
	}
	l := &Link{
		listener: listener, target: target, decide: decide, delay: delay, conns: make(map[net.Conn]struct{}),
		swallowed: make(chan struct{}), ended: make(chan struct{}),
	}
	l.running.Go(l.accept)
	return l, nil
}

// URL is where to connect to.
func (l *Link) URL() string { return "nats://" + l.listener.Addr().String() }

// Swallow makes a black hole of the proxy: nothing passes any more in either
// direction, what is sent piles up, and nobody is told. Whoever connects from now
// on hears nothing.
func (l *Link) Swallow() { l.swallow.Do(func() { close(l.swallowed) }) }

// Throttle makes a slow link of the proxy, for those who connect from now on: so many
// bytes a second pass in each direction.
func (l *Link) Throttle(rate int) { l.rate.Store(int64(rate)) }

// slowBuffer is what the sockets of a slow link keep.
const slowBuffer = 16 << 10

// slowLateness is how much is made good of what a sleep has lasted too long.
const slowLateness = 50 * time.Millisecond

// slow is a writer with a rate.
type slow struct {
	net.Conn
	rate int64
	next time.Time // when more may be written
}

func (s *slow) Write(b []byte) (n int, err error) {
	const chunk = 4 << 10
	for len(b) > 0 && err == nil {
		time.Sleep(time.Until(s.next))
		var written int
		written, err = s.Conn.Write(b[:min(len(b), chunk)])
		n, b = n+written, b[written:]
		if idle := time.Now().Add(-slowLateness); s.next.Before(idle) {
			s.next = idle
		}
		s.next = s.next.Add(time.Duration(int64(written) * int64(time.Second) / s.rate))
	}
	return n, err
}

// throttled is the connection, as slow as the link is.
func (l *Link) throttled(c net.Conn) net.Conn {
	rate := l.rate.Load()
	if rate == 0 {
		return c
	}
	if tcp, ok := c.(*net.TCPConn); ok { // else the sender's bytes would wait here, and it would not know
		_ = tcp.SetReadBuffer(slowBuffer)
		_ = tcp.SetWriteBuffer(slowBuffer)
	}
	return &slow{Conn: c, rate: rate}
}

// pass waits for ever, which is until Close, once the proxy is a black hole.
func (l *Link) pass() {
	select {
	case <-l.swallowed:
		<-l.ended
	default:
	}
}

// Close ends the proxy and all that goes through it.
func (l *Link) Close() {
	_ = l.listener.Close() // what matters is that it is gone
	l.mu.Lock()
	if !l.closed {
		close(l.ended)
	}
	l.closed = true
	for c := range l.conns {
		shut(c)
	}
	l.mu.Unlock()
	l.running.Wait()
}

func (l *Link) accept() {
	for {
		client, err := l.listener.Accept()
		if err != nil {
			return
		}
		l.running.Go(func() { l.serve(client) })
	}
}

func (l *Link) serve(client net.Conn) {
	defer shut(client)
	l.pass()
	server, err := net.Dial("tcp", l.target) //nolint:noctx // no name is looked up
	if err != nil {
		return
	}
	defer shut(server)
	l.mu.Lock()
	l.conns[client], l.conns[server] = struct{}{}, struct{}{}
	closed := l.closed
	l.mu.Unlock()
	if closed {
		return
	}
	toServer, toClient := l.throttled(server), l.throttled(client)
	var pumps sync.WaitGroup
	pumps.Go(func() { _, _ = io.Copy(gate{toServer, l.pass}, client); shut(server) })
	pumps.Go(func() { l.pump(gate{toClient, l.pass}, bufio.NewReader(server)); shut(client) })
	pumps.Wait()
	l.mu.Lock()
	delete(l.conns, client)
	delete(l.conns, server)
	l.mu.Unlock()
}

// gate is a writer that waits before it writes.
type gate struct {
	io.Writer
	pass func()
}

func (g gate) Write(b []byte) (int, error) {
	g.pass()
	return g.Writer.Write(b)
}

// shut closes a connection, which may have been closed from the other side.
func shut(c net.Conn) { _ = c.Close() }

// pump reads what the NATS server sends, line by line, and messages as a whole.
func (l *Link) pump(to io.Writer, from *bufio.Reader) {
	var kept []byte // waits for the message that it changes places with
	for {
		line, err := from.ReadBytes('\n')
		if err != nil {
			return
		}
		out := line
		if msg, ok := parse(line); ok {
			if out, err = read(msg, line, from); err != nil {
				return
			}
			switch l.decide(msg) {
			case Lost:
				out = nil
			case Doubled:
				out = append(out, out...)
			case Swapped:
				if kept == nil {
					kept = out
					continue
				}
			case Delayed:
				time.Sleep(l.delay)
			case Passed:
			}
			if kept != nil {
				out, kept = append(out, kept...), nil
			}
		}
		if _, err := to.Write(out); err != nil {
			return
		}
	}
}

// parse reads the line that begins a message:
//
//	MSG subject sid [reply] size
//	HMSG subject sid [reply] size-of-headers size
func parse(line []byte) (msg *Message, ok bool) {
	headers := bytes.HasPrefix(line, []byte("HMSG "))
	if fields := bytes.Fields(line); headers || bytes.HasPrefix(line, []byte("MSG ")) {
		return &Message{Subject: string(fields[1]), Headers: headers}, true
	}
	return nil, false
}

// read reads the rest of a message and returns all of it.
func read(msg *Message, line []byte, from *bufio.Reader) (whole []byte, err error) {
	fields := bytes.Fields(line)
	size, err := strconv.Atoi(string(fields[len(fields)-1]))
	if err != nil {
		return nil, err
	}
	rest := make([]byte, size+len("\r\n"))
	if _, err := io.ReadFull(from, rest); err != nil {
		return nil, err
	}
	skip := 0
	if msg.Headers {
		if skip, err = strconv.Atoi(string(fields[len(fields)-2])); err != nil {
			return nil, err
		}
	}
	msg.Payload = rest[skip:size]
	return slices.Concat(line, rest), nil
}
