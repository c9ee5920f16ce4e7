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
	var pumps sync.WaitGroup
	pumps.Go(func() { _, _ = io.Copy(gate{server, l.pass}, client); shut(server) })
	pumps.Go(func() { l.pump(gate{client, l.pass}, bufio.NewReader(server)); shut(client) })
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
