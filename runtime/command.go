package aegis

import (
	"context"
	"crypto/rand"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	"github.com/aegisrpc/aegis/internal/spec"
	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/jserror"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

// SendOption is an option of sending one command.
type SendOption interface {
	applySend(c *sendConfig) error
}

type sendOption func(*sendConfig) error

func (o sendOption) applySend(c *sendConfig) error { return o(c) }

type sendConfig struct {
	level     string
	notBefore time.Time
	expiry    time.Time
	key       string
}

// PriorityLevel says which commands are begun before others.
type PriorityLevel int

// The levels.
const (
	PriorityLow    PriorityLevel = -1
	PriorityNormal PriorityLevel = 0
	PriorityHigh   PriorityLevel = 1
)

// Priority has a command begun before those of lower levels that wait. Workers
// look at what they have been given and at what they know to be waiting, so that
// a command of a lower level that is on its way may still be begun first. Default
// PriorityNormal. A single active command has no priority, as the leader works
// in order.
func Priority(level PriorityLevel) SendOption {
	return sendOption(func(c *sendConfig) error {
		switch level {
		case PriorityLow:
			c.level = wire.LevelLow
		case PriorityNormal:
			c.level = wire.LevelNormal
		case PriorityHigh:
			c.level = wire.LevelHigh
		default:
			return invalidOption("priority %d: use PriorityLow, PriorityNormal or PriorityHigh", level)
		}
		return nil
	})
}

// NotBefore stores a command now that enters the queue at t, by the NATS
// server's clock; up to a second later, as NATS looks at its schedules every so
// often. A time that is past has no effect.
func NotBefore(t time.Time) SendOption {
	return sendOption(func(c *sendConfig) error {
		if t.IsZero() {
			return invalidOption("not before: the time is zero")
		}
		c.notBefore = t
		return nil
	})
}

// Expiry has a command that no worker has begun at t, by the worker's clock, end
// as CommandExpired: the worker that comes to it stores that in place of
// beginning it. A command that has been begun is tried again after t as well.
func Expiry(t time.Time) SendOption {
	return sendOption(func(c *sendConfig) error {
		if t.IsZero() {
			return invalidOption("expiry: the time is zero")
		}
		c.expiry = t
		return nil
	})
}

// DedupeKey makes two commands of a method with the same key one command: the
// second send returns a handle of the first one, whoever sent it, as long as that
// waits or its result can be asked for. 1 to 256 characters.
func DedupeKey(key string) SendOption {
	return sendOption(func(c *sendConfig) error {
		if key == "" || len(key) > stores.MaxMessageID {
			return invalidOption("dedupe key %s: use 1 to %d characters", quote(key), stores.MaxMessageID)
		}
		c.key = key
		return nil
	})
}

// CommandMethod is one command of a Client. It is safe for concurrent use.
type CommandMethod[Req, Res any] struct{ commandMethod }

// commandMethod is what does not depend on the message types.
type commandMethod struct {
	client      *Client
	commands    *commandClient
	method      *spec.Method // nil: the files are of different versions
	spec        Spec
	intercepted UnaryFunc // nil without interceptors
}

// Send stores a command and returns a handle of it when it is stored, at the
// latest when ctx ends, or the service's timeout if ctx has no deadline. An error
// whose code is CodeDeadlineExceeded leaves open whether it is stored: only with
// a DedupeKey can it be sent again without its being done twice. The error is an
// *Error.
func (m *CommandMethod[Req, Res]) Send(ctx context.Context, req *Req, opts ...SendOption) (*Command[Res], error) {
	msg := any(req).(proto.Message) //nolint:forcetypeassert // generated code passes messages
	p, err := m.publication(ctx, opts)
	if err != nil {
		return nil, err
	}
	if m.intercepted != nil {
		if _, err := m.intercepted(p, msg); err != nil {
			return nil, asError(err)
		}
	} else if err := m.publish(p, msg); err != nil {
		return nil, err
	}
	if p.handle == nil {
		return nil, Errorf(CodeInternal, "an interceptor of the client of %s returned no error, and sent nothing", m.spec.name())
	}
	return &Command[Res]{p.handle}, nil
}

// commandPublication is one command on its way out: the context that interceptors see,
// what the caller asked for, and the handle when the command is stored.
type commandPublication struct {
	publication

	send   *sendConfig
	handle *commandHandle
}

func (p *commandPublication) Value(key any) any {
	if _, ok := key.(publicationKey); ok {
		return p
	}
	return p.publication.Value(key)
}

func (m *commandMethod) publication(ctx context.Context, opts []SendOption) (*commandPublication, error) {
	if m.method == nil {
		return nil, Errorf(CodeUnimplemented, "%s is not a command in the descriptor of the service: the generated files of messages and services "+
			"are of different versions; run buf generate", m.spec.name())
	}
	send := &sendConfig{}
	for i, o := range opts {
		if o == nil {
			return nil, Errorf(CodeInvalidArgument, "%w", nilOption(i))
		}
		if err := o.applySend(send); err != nil {
			return nil, Errorf(CodeInvalidArgument, "%w", err)
		}
	}
	switch {
	case send.level != "" && m.method.Group != "":
		return nil, Errorf(CodeInvalidArgument, "Priority: the commands of %s are worked by a leader, in order", m.spec.name())
	case !send.expiry.IsZero() && send.expiry.Before(send.notBefore):
		return nil, Errorf(CodeInvalidArgument, "Expiry: %v is before NotBefore, %v", send.expiry, send.notBefore)
	case send.level == "":
		send.level = wire.LevelNormal
	}
	p := &commandPublication{publication: newPublication(ctx, m.spec, m.client.service.Timeout), send: send}
	return p, ctxError(ctx)
}

// publish stores the command.
func (m *commandMethod) publish(p *commandPublication, msg proto.Message) *Error {
	id, keyed := m.commands.newID(), p.send.key != ""
	if keyed {
		id = wire.KeyedCommandID(m.method.Name, p.send.key)
	}
	conn := m.client.conn
	slot := conn.bus.Acquire()
	defer conn.bus.Release(slot)
	header := slot.Headers()
	if err := m.setHeaders(p, id, header); err != nil {
		return err
	}
	stream := m.commands.queue(&m.client.cfg.storage)
	if err := stream.ensureWithin(p, p.deadline); err != nil {
		return err
	}
	handle := m.commands.handle(m.method, id)
	if !keyed {
		if err := m.commands.expect(handle); err != nil {
			return err
		}
	}
	var err error
	if slot.Payload, err = (proto.MarshalOptions{}).MarshalAppend(slot.Payload[:0], msg); err != nil {
		return Errorf(CodeInvalidArgument, "the command %s cannot be marshalled: %w", m.spec.name(), err)
	}
	subject := m.subject(p, id, header)
	s := &storing{Subject: &subject, Header: header, Deadline: p.deadline, Again: true, Window: stream.Window()}
	var failure *Error
	if keyed {
		failure = m.storeKeyed(p, stream, slot, s, handle)
	} else {
		_, failure = stream.store(p, slot, s)
	}
	if failure != nil {
		return failure
	}
	p.handle = handle
	return nil
}

// storeKeyed stores a command unless there is one with its key: one that waits or
// runs, on whichever level, or one whose result is kept. Copies of this send are
// told apart by its own id, those of others by their being there.
func (m *commandMethod) storeKeyed(p *commandPublication, stream *openStream, slot *bus.Slot, s *storing, handle *commandHandle) *Error {
	conn := m.client.conn
	anywhere := conn.subjects.CommandAnywhere(m.spec.Service, m.method.Name, handle.id)
	send := rand.Text()
	s.Header[wire.HeaderSend] = []string{send}
	s.Header[wire.HeaderMessageID] = []string{m.method.Name + "." + handle.id + "." + send}
	s.Header[wire.HeaderExpectedLast] = []string{"0"}
	s.Header[wire.HeaderExpectedSubject] = []string{anywhere}
	ctx, cancel := context.WithDeadline(p, p.deadline)
	defer cancel()
	for attempt := 1; ; attempt++ {
		if outcome, err := handle.stored(ctx, wire.ResultResult); outcome != nil || err != nil {
			return err
		}
		_, refused := stream.store(p, slot, s)
		if refused == nil || !jserror.WrongLastSequence(refused) {
			return refused
		}
		// Perhaps the other one is on its way, and may yet be lost.
		if waits, err := conn.lastStored(ctx, stream.Want.Name, anywhere); waits != nil || err != nil {
			return err
		}
		if !bus.Sleep(ctx, bus.Pause(attempt), p.deadline) {
			return because(context.DeadlineExceeded, CodeDeadlineExceeded,
				"another command with the key of "+handle.id+" was on its way until the deadline; whether one is stored is unknown")
		}
	}
}

// subject is where the command is stored; one that is not due says in its header
// where it goes then.
func (m *commandMethod) subject(p *commandPublication, id string, header nats.Header) string {
	subjects := m.client.conn.subjects
	queue := subjects.Command(m.spec.Service, m.spec.Method, p.send.level, id)
	if !p.send.notBefore.After(time.Now()) {
		return queue
	}
	header[wire.HeaderSchedule] = []string{"@at " + p.send.notBefore.UTC().Format(time.RFC3339Nano)}
	header[wire.HeaderScheduleTarget] = []string{queue}
	return subjects.CommandAt(m.spec.Service, m.spec.Method, p.send.level, id)
}

func (m *commandMethod) setHeaders(p *commandPublication, id string, h nats.Header) *Error {
	if p.call != nil && len(p.call.request) > 0 {
		if err := p.call.request.encodeTo(h); err != nil {
			return err
		}
	}
	h[wire.HeaderMessageID] = []string{m.method.Name + "." + id}
	if !p.send.expiry.IsZero() {
		h[wire.HeaderExpires] = []string{strconv.FormatInt(p.send.expiry.UnixMilli(), 10)}
	}
	return nil
}

// Command is a handle of one command, whoever sent it. It is safe for concurrent
// use, and needs no closing.
type Command[R any] struct{ handle *commandHandle }

// ID returns the id of the command, by which any process finds it again: see the
// generated function that ends in Command.
func (c *Command[R]) ID() string { return c.handle.id }

// Result waits for the end of the command, or until ctx ends, and returns the
// response, or why there is none. The code of the error is that which the handler
// returned last if it has failed, CodeCanceled if it was canceled,
// CodeDeadlineExceeded with ReasonExpired if it has expired, and CodeNotFound if
// there is no such command any more: results are kept for the method's
// result_ttl. Such errors are those of the command if IsWireError says so; others
// are of this call.
func (c *Command[R]) Result(ctx context.Context) (*R, error) {
	msg, err := c.handle.await(ctx)
	if err != nil {
		return nil, err
	}
	if failure := outcomeError(msg); failure != nil {
		return nil, failure
	}
	res := new(R)
	if err := proto.Unmarshal(msg.Data, any(res).(proto.Message)); err != nil { //nolint:forcetypeassert // generated code passes messages
		return nil, Errorf(CodeInternal, "the result of command %s cannot be read: %w", c.handle.id, err)
	}
	return res, nil
}

// outcomeError is why a command that has ended has no response; nil if it has.
func outcomeError(msg *nats.Msg) *Error {
	if msg.Header.Get(wire.HeaderState) == wire.StateSucceeded {
		return nil
	}
	return decodeError(msg)
}
