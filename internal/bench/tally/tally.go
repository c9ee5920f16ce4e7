// Package tally counts the messages between one process and its NATS server by what they
// are for, on the way between the two: a subscriber to everything would change what it
// counts, as "no responders" is gone then.
package tally

import (
	"bufio"
	"bytes"
	"io"
	"maps"
	"net"
	"strings"
	"sync"

	"github.com/aegisrpc/aegis/internal/natsproxy"
)

// Counts are the messages of both directions, by what they are for.
type Counts map[string]int

// Tally is a proxy in front of a NATS server. It is safe for concurrent use.
type Tally struct {
	*natsproxy.Proxy

	mu     sync.Mutex // guards counts
	counts Counts
}

// Start starts a tally in front of target, a host and a port. Close ends it.
func Start(target string) (*Tally, error) {
	t := &Tally{counts: make(Counts)}
	var err error
	t.Proxy, err = natsproxy.Start(target, natsproxy.Pumps{ToServer: t.pump, ToClient: t.pump})
	return t, err
}

// Counts returns what was counted so far.
func (t *Tally) Counts() Counts {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.counts)
}

// pump passes on what comes as it comes, as a process that is sent a message at a time
// would wake up more often, and reads along.
func (t *Tally) pump(to, from net.Conn) {
	read, write := io.Pipe()
	var reading sync.WaitGroup
	reading.Go(func() { t.read(bufio.NewReader(read)) })
	_, err := io.Copy(to, io.TeeReader(from, write))
	_ = write.CloseWithError(err) // it never fails
	reading.Wait()
}

func (t *Tally) read(from *bufio.Reader) {
	for {
		data, m, err := natsproxy.ReadOperation(from)
		if err != nil {
			return
		}
		if m != nil {
			t.count(kindOf(data, m))
		}
	}
}

func (t *Tally) count(kind string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts[kind]++
}

// kinds are the beginnings of subjects, and what is sent there. The first that fits counts.
var kinds = []struct{ begin, kind string }{
	{"$JS.API.CONSUMER.MSG.NEXT.", "pulls"},
	{"$JS.API.CONSUMER.INFO.", "questions about consumers"},
	{"$JS.API.STREAM.MSG.GET.KV_aegis-leaders", "proofs of the lease"},
	{"$JS.API.STREAM.INFO.KV_aegis-leaders", "proofs of the lease"},
	{"$KV.aegis-leaders.", "renewals of the lease"},
	{"$KV.", "records of the registry"},
	{"$JS.", "other questions to JetStream"},
	{"aegis.beat.", "heartbeats"},
	{"aegis.grp.", "members of groups"},
}

// kindOf says what a message is for; data is all of it.
func kindOf(data []byte, m *natsproxy.Message) string {
	for _, k := range kinds {
		if strings.HasPrefix(m.Subject, k.begin) {
			return k.kind
		}
	}
	switch {
	case strings.Contains(m.Subject, "._void."):
		return "questions whether NATS says that nobody listens"
	case strings.HasPrefix(m.Subject, "aegis.live.") && strings.HasSuffix(m.Subject, ".self"):
		return "messages to itself"
	case strings.HasPrefix(m.Subject, "aegis.live."):
		return "probes and their answers"
	case strings.HasPrefix(m.Subject, "_INBOX.") && bytes.Contains(data, []byte("NATS/1.0 100")):
		return "idle heartbeats of JetStream"
	case strings.HasPrefix(m.Subject, "_INBOX.") && bytes.Contains(data, []byte("NATS/1.0 408")):
		return "ends of pulls"
	case strings.HasPrefix(m.Subject, "_INBOX."), strings.HasPrefix(m.Subject, "aegis.in."):
		return "answers of JetStream"
	default:
		return "others: " + m.Subject
	}
}
