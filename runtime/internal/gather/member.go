package gather

import (
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/patterns"
	"github.com/aegisrpc/aegis/runtime/internal/status"
	"github.com/aegisrpc/aegis/runtime/registry"
)

const (
	// askMemberAfter is how long a broadcast waits before it asks whether the members
	// are there that have not answered, and askMemberEvery how long until it asks again.
	askMemberAfter = 250 * time.Millisecond
	askMemberEvery = 500 * time.Millisecond
)

// member is an instance that should answer.
type member struct {
	subject string // where it is asked whether it is there
	reply   string // where it answers that
	stop    func() // ends the subscription to that; nil if it was not asked
	gone    bool   // nobody listens on subject; guarded by Gathering.mu
}

// Expect has those instances awaited that run and are known to have the method as a
// broadcast. If there is none, replies are awaited until nobody has answered for a
// while: an instance that nobody knows yet answers soon.
func (g *Gathering) Expect(instances []registry.Instance) {
	for _, i := range instances {
		pattern, known := i.Record.Pattern(g.b.Method.Name)
		if i.Record.State == registry.Running && !i.Record.Reserved && i.Record.Serves(g.b.Method.Name) && (!known || pattern == patterns.Of(g.b.Method)) {
			g.members[i.Record.Instance] = &member{subject: g.o.Subjects.Instance(i.Record.Instance, g.b.Service.Name, wire.NoMethod)}
		}
	}
	if len(g.members) == 0 {
		g.b.Silence = askMemberAfter
	}
}

// closeMember has nothing more taken from a member.
func (g *Gathering) closeMember(name string) {
	g.answered[name] = true
	if m := g.members[name]; m != nil && m.stop != nil {
		m.stop()
	}
	delete(g.members, name)
}

// lostMember returns a member that will not answer and why, and closes it.
func (g *Gathering) lostMember() (name string, why *status.Status) {
	g.mu.Lock()
	nobody := g.nobody
	for n, m := range g.members {
		if m.gone || nobody {
			name = n
			break
		}
	}
	g.mu.Unlock()
	if name == "" {
		return "", nil
	}
	g.closeMember(name)
	if !nobody {
		return name, status.Newf(status.Unavailable, "%s is gone, and has not answered %s", name, g.b.Name)
	}
	why = status.Refusal(status.Unavailable, status.ReasonNoResponders, "%s has not run %s, as nobody listens on %s: it lacks the method, or is gone",
		name, g.b.Name, g.b.Subject).WithNotRun(true)
	g.o.Patterns.Doubt(g.b.Service, why.Reason)
	return name, why
}

// askMembers finds out which of the members that have not answered are gone. A member
// answers that it has no such method; where nobody listens, NATS says so.
func (g *Gathering) askMembers() {
	g.askedAt = time.Now()
	if g.mayNotAsk() != "" {
		return
	}
	for _, m := range g.members {
		if m.stop == nil {
			m.reply, m.stop = g.o.Bus.Collect(func(msg *nats.Msg) { g.memberAnswered(m, msg) })
		}
		_ = g.o.Bus.NATS.PublishRequest(m.subject, m.reply, nil) // if it is lost, the next one may come
	}
}

func (g *Gathering) memberAnswered(m *member, msg *nats.Msg) {
	if !bus.NoResponders(msg) {
		return
	}
	g.mu.Lock()
	m.gone = true
	g.mu.Unlock()
	g.wake()
}

// mayNotAsk returns the subject on which NATS does not let this user ask for a member;
// "" if it does.
func (g *Gathering) mayNotAsk() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.unasked
}
