package natsproxy

import (
	"bufio"
	"io"
	"strconv"
	"strings"
)

// Message is a message in the protocol of NATS, published or delivered.
type Message struct {
	Subject, Reply string
	// Headers tells whether it has headers, which are not in Body.
	Headers bool
	Body    []byte

	header, size int // in bytes; size includes the header
}

// ReadOperation reads one operation of the protocol from either side, a message as
// a whole. It returns what was read, and the message, nil if it is none.
func ReadOperation(from *bufio.Reader) (data []byte, m *Message, err error) {
	data, err = from.ReadBytes('\n')
	if err != nil {
		return nil, nil, err
	}
	if m = parse(data); m == nil {
		return data, nil, nil
	}
	rest := make([]byte, m.size+len("\r\n"))
	if _, err := io.ReadFull(from, rest); err != nil {
		return nil, nil, err
	}
	m.Body = rest[m.header:m.size]
	return append(data, rest...), m, nil
}

// parse reads the line that begins a message; nil says that it is another one:
//
//	PUB subject [reply] size
//	HPUB subject [reply] size-of-header size
//	MSG subject sid [reply] size
//	HMSG subject sid [reply] size-of-header size
func parse(line []byte) *Message {
	fields := strings.Fields(string(line))
	if len(fields) < 3 {
		return nil
	}
	op := fields[0]
	m := &Message{Subject: fields[1], Headers: op[0] == 'H'}
	fields = fields[2:]
	switch op {
	case "PUB", "HPUB":
	case "MSG", "HMSG":
		fields = fields[1:] // the sid
	default:
		return nil
	}
	numbers := 1
	if m.Headers {
		numbers = 2
	}
	if len(fields) < numbers || len(fields) > numbers+1 {
		return nil
	}
	if len(fields) > numbers {
		m.Reply = fields[0]
	}
	sizes := fields[len(fields)-numbers:]
	if m.size = atoi(sizes[numbers-1]); m.Headers {
		m.header = atoi(sizes[0])
	}
	if m.header < 0 || m.size < m.header {
		return nil
	}
	return m
}

func atoi(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return -1
	}
	return n
}
