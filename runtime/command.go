package aegis

import (
	"context"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/aegisrpc/aegis/internal/spec"
	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/commandstore"
	"github.com/aegisrpc/aegis/runtime/internal/commandwait"
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
	if p.stored == nil {
		return nil, Errorf(CodeInternal, "an interceptor of the client of %s returned no error, and sent nothing", m.spec.name())
	}
	return &Command[Res]{commandHandle{command: p.stored, id: p.stored.ID(), method: m.method}}, nil
}

// commandPublication is one command on its way out: the context that interceptors see,
// what the caller asked for, and the command once it is stored.
type commandPublication struct {
	publication

	send   *sendConfig
	stored *commandwait.Command // nil until the command is stored
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
	commands, bus := m.commands, m.client.conn.bus
	sending := commandstore.Sending{
		Method: m.method.Name, Keyed: p.send.key != "", Level: p.send.level,
		NotBefore: p.send.notBefore, Expiry: p.send.expiry, Deadline: p.deadline,
	}
	if sending.Keyed {
		sending.ID = wire.KeyedCommandID(m.method.Name, p.send.key)
	} else {
		sending.ID = commands.listener.NewID()
	}
	slot := bus.Acquire()
	defer bus.Release(slot)
	sending.Header = slot.Headers()
	if p.call != nil && len(p.call.request) > 0 {
		if err := p.call.request.encodeTo(sending.Header); err != nil {
			return err
		}
	}
	queue := commands.queue(&m.client.cfg.storage)
	if why := queue.Stream.Ensure(p, p.deadline); why != nil {
		return outward(why)
	}
	command := commands.listener.Command(m.method.Name, sending.ID)
	if !sending.Keyed {
		if why := commands.listener.Expect(command); why != nil { // before a worker can be done with it
			return outward(why)
		}
	}
	var err error
	if slot.Payload, err = (proto.MarshalOptions{}).MarshalAppend(slot.Payload[:0], msg); err != nil {
		return Errorf(CodeInvalidArgument, "the command %s cannot be marshalled: %w", m.spec.name(), err)
	}
	if why := queue.Put(p, slot, &sending); why != nil {
		return outward(why)
	}
	p.stored = command
	return nil
}
