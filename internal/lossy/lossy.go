// Package lossy is a TCP proxy in front of a NATS server that understands what
// the server sends, so that single messages meet with faults on their way.
package lossy

import (
	"bufio"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aegisrpc/aegis/internal/natsproxy"
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

// Message is a message on its way from the NATS server to a client of a Link.
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

// Link is a proxy that decides the fate of each message.
type Link struct {
	*natsproxy.Proxy

	decide func(*Message) Fate
	delay  time.Duration

	rate atomic.Int64 // bytes a second in each direction; 0: as many as come
}

// New starts a proxy on the loopback interface in front of target, a host and a
// port. What decide says happens to each message, Delayed ones come delay later.
// It is called by several goroutines at once.
func New(target string, delay time.Duration, decide func(*Message) Fate) (*Link, error) {
	l := &Link{decide: decide, delay: delay}
	var err error
	l.Proxy, err = natsproxy.Start(target, natsproxy.Pumps{
		ToServer: func(to, from net.Conn) { _, _ = io.Copy(l.throttled(to), from) },
		ToClient: func(to, from net.Conn) { l.pump(l.throttled(to), bufio.NewReader(from)) },
	})
	return l, err
}

// Throttle makes a slow link of the proxy, for clients that connect from now on: so
// many bytes a second pass in each direction.
func (l *Link) Throttle(rate int) { l.rate.Store(int64(rate)) }

// slowBuffer is how many bytes the sockets of a slow link keep.
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

// pump passes on what the NATS server sends, messages as their fate has it.
func (l *Link) pump(to io.Writer, from *bufio.Reader) {
	var kept []byte // waits for the message that it changes places with
	for {
		out, m, err := natsproxy.ReadOperation(from)
		if err != nil {
			return
		}
		if m != nil {
			switch l.decide(&Message{Subject: m.Subject, Headers: m.Headers, Payload: m.Body}) {
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
