package pull

import (
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// Message is a message that was delivered and is not acknowledged. Ack, Nak or Leave
// ends it; until then the puller keeps NATS from delivering it to another instance.
type Message struct {
	*nats.Msg
	Meta

	puller *Puller // its mutex guards what follows

	prev, next *Message // in the list of held messages
	held       bool
	parked     bool
	renewed    time.Time
	reply      string // the subject on which NATS is answered: that of the last delivery
	delivered  int    // how often the message was delivered
}

// Meta is what JetStream says of a message in the subject for its acknowledgement.
type Meta struct {
	// Delivered is how often the message was delivered, this time included.
	Delivered int
	// Sequence is that of the message in its stream.
	Sequence uint64
	// Time is when the message was stored.
	Time time.Time
	// Pending is how many more messages there were for the consumer.
	Pending uint64
}

// Delivered returns how often the message was delivered so far. The number grows when
// NATS delivers a message again that is still held.
func (m *Message) Delivered() int {
	m.puller.mu.Lock()
	defer m.puller.mu.Unlock()
	return m.delivered
}

// Ack tells NATS that the message is done. It never waits, and if the acknowledgement is
// lost, the message is delivered again.
func (m *Message) Ack() error { return m.answer(ack) }

// Nak has the message delivered again after a pause.
func (m *Message) Nak(pause time.Duration) error {
	if pause <= 0 {
		return m.answer(nak)
	}
	return m.answer(fmt.Appendf(nil, `-NAK {"delay":%d}`, int64(pause)))
}

// Leave lets go of the message and tells NATS nothing: the message is delivered again
// when its ack wait is over.
func (m *Message) Leave() { _ = m.puller.release(m) }

var ack, nak = []byte("+ACK"), []byte("-NAK")

// answer lets go of the message, and answers its last delivery.
func (m *Message) answer(text []byte) error {
	return m.puller.o.Send(m.puller.release(m), text)
}

const (
	ackPrefix = "$JS.ACK."
	tokensV1  = 9  // $JS.ACK.<stream>.<consumer>.<delivered>.<sequence>.<consumer's>.<time>.<pending>
	tokensV2  = 11 // $JS.ACK.<domain>.<account>.<stream>... and maybe more at the end
)

// ParseMeta reads the reply subject of a message.
func ParseMeta(reply string) (Meta, bool) {
	if !strings.HasPrefix(reply, ackPrefix) {
		return Meta{}, false
	}
	n := strings.Count(reply, ".") + 1
	skip := 4 // to delivered
	switch {
	case n == tokensV1:
	case n >= tokensV2:
		skip = 6
	default:
		return Meta{}, false
	}
	rest := reply
	for range skip {
		_, rest, _ = strings.Cut(rest, ".")
	}
	var numbers [5]uint64
	for i := range numbers {
		var token string
		token, rest, _ = strings.Cut(rest, ".")
		var ok bool
		if numbers[i], ok = parseNumber(token); !ok {
			return Meta{}, false
		}
	}
	return Meta{
		Delivered: int(min(numbers[0], 1<<31)), Sequence: numbers[1],
		Time: time.Unix(0, int64(numbers[3])), Pending: numbers[4],
	}, true
}

// parseNumber is strconv.ParseUint for the numbers of JetStream, of which each message
// has five.
func parseNumber(s string) (n uint64, ok bool) {
	if len(s) == 0 || len(s) > 19 { // which cannot overflow
		return 0, false
	}
	for i := range len(s) {
		digit := s[i] - '0'
		if digit > 9 {
			return 0, false
		}
		n = 10*n + uint64(digit)
	}
	return n, true
}
