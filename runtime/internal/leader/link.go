package leader

import (
	"crypto/rand"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/election"
)

// link connects a process with its own liveness subject and with those of others. One
// subscription takes all messages, so that NATS decides the order of probes, answers and
// messages to oneself.
type link struct {
	nc      *nats.Conn
	prefix  string // ns.live.P.
	others  string // ns.live.
	inbox   chan *nats.Msg
	process *election.Process
	echoed  func() // is called after a message to oneself has come back
	nonce   string // begins each message to oneself, so that nobody else can send one

	sub        *nats.Subscription // nil while NATS refuses it
	generation atomic.Uint64      // counts the subscriptions
}

func newLink(nc *nats.Conn, subjects wire.Subjects, process string, inbox chan *nats.Msg) *link {
	return &link{
		nc: nc, inbox: inbox, nonce: rand.Text() + " ",
		prefix: subjects.Live(process) + ".",
		others: subjects.Live(""),
	}
}

// Identity returns what the connection is now. It reads the number of reconnects first
// and again last: if that has changed, the values in between may be of two connections.
// It asks nats.go for the number, as the count of package link is a moment behind: a lease
// must not be taken for a lease of another connection.
func (l *link) Identity() election.ConnID {
	for range 3 {
		before := l.nc.Stats().Reconnects
		if !l.nc.IsConnected() {
			return election.ConnID{}
		}
		id := election.ConnID{ServerID: l.nc.ConnectedServerId(), Reconnects: before, Generation: l.generation.Load()}
		client, err := l.nc.GetClientID()
		if err != nil {
			return election.ConnID{}
		}
		id.ClientID = client
		if l.nc.IsConnected() && l.nc.Stats().Reconnects == before {
			return id
		}
	}
	return election.ConnID{}
}

// SendSelf sends a message to oneself. Errors of sending are ignored here and in the
// other methods: the machine notices that a message does not arrive.
func (l *link) SendSelf(number uint64) {
	_ = l.nc.Publish(l.prefix+wire.LiveSelf, strconv.AppendUint([]byte(l.nonce), number, 10))
}

// SendProbe asks another process whether it lives.
func (l *link) SendProbe(p election.Probe) {
	body := wire.Probe{Process: p.From, ServerID: p.ServerID, Number: p.Number, Answer: p.WantAnswer}
	reply := l.prefix + wire.LiveReply + "." + p.To + "." + strconv.FormatUint(p.Number, 10)
	_ = l.nc.PublishRequest(l.others+p.To+"."+wire.LiveProbe, reply, body.Encode())
}

// Resubscribe replaces the subscription. If that fails the process has none: it has no
// contact then, for which the machine calls Resubscribe again.
func (l *link) Resubscribe() {
	l.generation.Add(1)
	if l.sub != nil {
		_ = l.sub.Unsubscribe() // fails only if it is gone already
	}
	l.sub, _ = l.nc.ChanSubscribe(l.prefix+">", l.inbox)
}

// receive turns a message of the liveness subscription into an event. It
// reports whether it was one.
func (l *link) receive(now func() election.Instant, msg *nats.Msg) bool {
	rest, ok := strings.CutPrefix(msg.Subject, l.prefix)
	if !ok {
		return false
	}
	kind, rest, _ := strings.Cut(rest, ".")
	switch kind {
	case wire.LiveSelf:
		number, ours := strings.CutPrefix(string(msg.Data), l.nonce)
		if n, err := strconv.ParseUint(number, 10, 64); err == nil && ours {
			l.process.OnEcho(now(), n)
			l.echoed()
		}
	case wire.LiveProbe:
		l.takeProbe(now(), msg)
	case wire.LiveReply:
		to, number, _ := strings.Cut(rest, ".")
		if n, err := strconv.ParseUint(number, 10, 64); err == nil {
			l.takeAnswer(now(), msg, to, n)
		}
	}
	return true
}

// takeProbe handles the question of another process, and answers it if the machine says so.
func (l *link) takeProbe(now election.Instant, msg *nats.Msg) {
	body, ok := wire.DecodeProbe(msg.Data)
	if !ok {
		return
	}
	id := l.Identity()
	p := election.Probe{From: body.Process, ServerID: body.ServerID, Number: body.Number, WantAnswer: body.Answer}
	if !l.process.OnProbe(now, p) || msg.Reply == "" || !id.Connected() {
		return
	}
	_ = l.nc.Publish(msg.Reply, wire.ProbeAnswer{ServerID: id.ServerID}.Encode())
}

// takeAnswer handles the answer of a process, or NATS's word that nobody listens there.
func (l *link) takeAnswer(now election.Instant, msg *nats.Msg, to string, number uint64) {
	if len(msg.Data) == 0 {
		if msg.Header.Get("Status") == "503" {
			l.process.OnNoResponders(now, to, number)
		}
		return
	}
	if body, ok := wire.DecodeProbeAnswer(msg.Data); ok {
		l.process.OnAnswer(now, to, body.ServerID, number)
	}
}

// close ends the subscription.
func (l *link) close() {
	if l.sub != nil {
		_ = l.sub.Unsubscribe()
	}
}
