package aegis

import (
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/denials"
	"github.com/aegisrpc/aegis/runtime/internal/patterns"
	"github.com/aegisrpc/aegis/runtime/registry"
)

// member is an instance that should answer.
type member struct {
	gone    bool // guarded by the broadcast's mutex
	stop    func()
	subject string // where it is asked whether it is there
	reply   string
}

const (
	// askMemberAfter is how long a broadcast waits before it asks whether those
	// who have not answered are there.
	askMemberAfter = 250 * time.Millisecond
	askMemberEvery = 500 * time.Millisecond
)

// concerns reports whether NATS has refused the broadcast, or the question whether a
// member is there.
func (b *broadcast) concerns(d *denials.Denial) bool {
	return d.Publishing(b.method.subject) || !d.Subscribe && strings.HasSuffix(d.Subject, "."+b.method.spec.Service+"."+wire.NoMethod)
}

func (b *broadcast) deny(d *denials.Denial) {
	b.mu.Lock()
	if d.Subject == b.method.subject {
		b.refused = permissionError(d.Subject, d.Err)
	} else {
		b.unasked = d.Subject
	}
	b.mu.Unlock()
	b.wake()
}

// findMembers asks the registry who should answer: those that are known to have the
// method, as a broadcast.
func (b *broadcast) findMembers() error {
	m := b.method
	conn := m.client.conn
	view, err := conn.directoryView(b.ctx, m.spec.Service)
	if err != nil {
		return m.unknownMembers(asError(err))
	}
	defer view.Release()
	for _, i := range view.Instances() {
		pattern, known := i.Record.Pattern(m.spec.Method)
		if i.Record.State == registry.Running && i.Record.Serves(m.spec.Method) && (!known || pattern == patterns.Of(m.method)) {
			b.members[i.Record.Instance] = &member{subject: conn.subjects.Instance(i.Record.Instance, m.spec.Service, wire.NoMethod)}
		}
	}
	if len(b.members) == 0 { // whoever listens all the same answers soon
		cfg := *b.cfg
		cfg.untilSilence = askMemberAfter
		b.cfg = &cfg
	}
	return nil
}

// unknownMembers is the error of a broadcast that was not sent, as nobody knows who
// should answer.
func (m *streamMethod) unknownMembers(err *Error) *Error {
	switch err.Code() {
	case CodeCanceled: // by the caller, or with the connection
		return err.notRun(true)
	case CodeDeadlineExceeded: // to wait for fewer would not help
		return because(err, err.Code(), m.spec.name()+" was not sent: "+err.Message()).notRun(true)
	default:
		return Errorf(err.Code(), "who should answer %s is not known, and neither UntilReplies nor UntilSilence says when to stop: %w",
			m.spec.name(), err).notRun(true)
	}
}

func (b *broadcast) forget(name string) {
	if m := b.members[name]; m != nil && m.stop != nil {
		m.stop()
	}
	delete(b.members, name)
}

// denied returns the error of a broadcast that NATS does not let this user send.
func (b *broadcast) denied() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return errorOrNone(b.refused)
}

// lost returns a member that will not answer and why, and awaits it no longer.
func (b *broadcast) lost() (name string, err *Error) {
	b.mu.Lock()
	nobody := b.nobody
	for n, m := range b.members {
		if m.gone || nobody {
			name = n
			break
		}
	}
	b.mu.Unlock()
	if name == "" {
		return "", nil
	}
	b.answered[name] = true
	b.forget(name)
	if !nobody {
		return name, Errorf(CodeUnavailable, "%s is gone, and has not answered %s", name, b.method.spec.name())
	}
	err = refusal(CodeUnavailable, ReasonNoResponders, "%s has not run %s, as nobody listens on %s: it lacks the method, or is gone",
		name, b.method.spec.name(), b.method.subject).notRun(true)
	b.method.client.conn.patterns.Doubt(b.method.client.service, err.Reason())
	return name, err
}

// askMembers finds out which of those who have not answered are gone. Each
// answers that it has no such method; where nobody listens, NATS says so.
func (b *broadcast) askMembers() {
	b.asked = time.Now()
	if b.mayNotAsk() != "" {
		return
	}
	conn := b.method.client.conn
	for _, m := range b.members {
		if m.stop == nil {
			m.reply, m.stop = conn.bus.Collect(func(msg *nats.Msg) {
				if bus.NoResponders(msg) {
					b.mu.Lock()
					m.gone = true
					b.mu.Unlock()
					b.wake()
				}
			})
		}
		_ = conn.nc.PublishRequest(m.subject, m.reply, nil) // it is asked again
	}
}

// mayNotAsk returns where NATS does not let this user ask; "" if it does.
func (b *broadcast) mayNotAsk() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.unasked
}
