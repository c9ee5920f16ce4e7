package aegis

import (
	"context"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/aegisrpc/aegis/internal/spec"
	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/calling"
	"github.com/aegisrpc/aegis/runtime/internal/commandstore"
	"github.com/aegisrpc/aegis/runtime/internal/inmemory"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

// SendOption is an option of sending one command.
type SendOption interface {
	applySend(c *sendConfig) error
}

type sendOption func(*sendConfig) error

func (o sendOption) applySend(c *sendConfig) error { return o(c) }

// sendConfig is what the options of one send say. The zero value of a field is that of
// a send without the option.
type sendConfig struct {
	level     string // of priority, as a token of the command's subject
	notBefore time.Time
	expiry    time.Time
	key       string
}

// PriorityLevel says which of the commands that wait workers begin first.
type PriorityLevel int

// The levels of priority, the lowest first.
const (
	PriorityLow    PriorityLevel = -1
	PriorityNormal PriorityLevel = 0
	PriorityHigh   PriorityLevel = 1
)

// Priority sets the level of a command: workers begin it before the commands of lower
// levels that wait. A worker compares the commands that it was given and those that it
// knows to be waiting, so that a command of a lower level that is already on its way
// to the worker may still begin first. Default PriorityNormal. For a single active
// command, and for another level than these, the error of Send has the code
// CodeInvalidArgument: a leader works commands in the order in which they were stored.
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

// NotBefore delays a command: Send stores it at once, and the command enters the queue
// at t by the NATS server's clock, or up to a second later, as NATS looks at its
// schedules every so often. A time that is past has no effect. The zero time is an
// error of Send, with CodeInvalidArgument. A queue with a size takes no delayed
// commands: see Storage.
func NotBefore(t time.Time) SendOption {
	return sendOption(func(c *sendConfig) error {
		if t.IsZero() {
			return invalidOption("not before: the time is zero")
		}
		c.notBefore = t
		return nil
	})
}

// Expiry says until when a command is worth beginning. A worker that comes to the
// command after t, by the worker's clock, does not begin it: the command ends as
// CommandExpired. A command that has been begun is tried again after t as well.
// Default: a command waits for ever. The zero time, and one before that of NotBefore,
// are errors of Send, with CodeInvalidArgument.
func Expiry(t time.Time) SendOption {
	return sendOption(func(c *sendConfig) error {
		if t.IsZero() {
			return invalidOption("expiry: the time is zero")
		}
		c.expiry = t
		return nil
	})
}

// DedupeKey makes two commands of a method with the same key one command: a second Send
// stores nothing and returns a handle of the first command, whoever sent that, as long
// as the first command waits or runs, or its result can be asked for. A key has 1 to 256
// characters; else the error of Send has the code CodeInvalidArgument.
func DedupeKey(key string) SendOption {
	return sendOption(func(c *sendConfig) error {
		if key == "" || len(key) > stores.MaxMessageID {
			return invalidOption("dedupe key %s: use 1 to %d characters", quote(key), stores.MaxMessageID)
		}
		c.key = key
		return nil
	})
}

// CommandMethod is one command of a Client, as the generated clients hold it. It is safe
// for concurrent use.
type CommandMethod[Req, Res any] struct{ commandMethod }

// commandMethod is the part of a CommandMethod that does not depend on the message types.
type commandMethod struct {
	client      *Client
	commands    *commandClient
	method      *spec.Method // nil if the generated files are of different versions; commands is nil then
	public      Method
	figures     *calling.Method
	intercepted UnaryFunc // publish with the interceptors around it; nil without interceptors
}

// Send stores a command and returns a handle of it when the command is stored. It waits
// until ctx ends, or for the service's timeout if ctx has no deadline. The error is an
// *Error; if its code is CodeDeadlineExceeded, it is unknown whether the command is
// stored: only with a DedupeKey can the caller send it again without the command being
// done twice. MayHaveRun tells whether the command may be stored.
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
		return nil, Errorf(CodeInternal, "an interceptor of the client of %s returned no error, and sent nothing", m.public.FullName())
	}
	return &Command[Res]{commandHandle{command: p.stored, id: p.stored.ID(), method: m.method}}, nil
}

// commandPublication is one command on its way out: the context that interceptors see,
// what the caller asked for, and the command once it is stored.
type commandPublication struct {
	publication

	send   sendConfig
	stored inmemory.CommandHandle // nil until the command is stored
}

// Value returns the publication to interceptSend, which finds it below the contexts of
// interceptors.
func (p *commandPublication) Value(key any) any {
	if _, ok := key.(publicationKey); ok {
		return p
	}
	return p.publication.Value(key)
}

// publication checks the options of a send, and makes its context.
func (m *commandMethod) publication(ctx context.Context, opts []SendOption) (*commandPublication, error) {
	if m.method == nil {
		return nil, Errorf(CodeUnimplemented, "%s is not a command in the descriptor of the service: the generated files of messages and services "+
			"are of different versions; run buf generate", m.public.FullName())
	}
	p := &commandPublication{}
	send := &p.send
	if err := applyOptions(opts, func(o SendOption) error { return o.applySend(send) }); err != nil {
		return nil, Errorf(CodeInvalidArgument, "%w", err)
	}
	switch {
	case send.level != "" && m.method.Group != "":
		return nil, Errorf(CodeInvalidArgument, "Priority: the commands of %s are worked by a leader, in order", m.public.FullName())
	case !send.expiry.IsZero() && send.expiry.Before(send.notBefore):
		return nil, Errorf(CodeInvalidArgument, "Expiry: %v is before NotBefore, %v", send.expiry, send.notBefore)
	case send.level == "":
		send.level = wire.LevelNormal
	}
	p.publication = newPublication(ctx, m.public, m.client.service.Timeout)
	return p, ctxError(ctx)
}

// publish stores the command, and counts it. It is called by the innermost interceptor, if
// there is any.
func (m *commandMethod) publish(p *commandPublication, msg proto.Message) *Error {
	began := time.Now()
	m.figures.Begin()
	err := m.store(p, msg)
	m.figures.Done(began, err.inward())
	return err
}

func (m *commandMethod) store(p *commandPublication, msg proto.Message) *Error {
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
		if why := commands.listener.Expect(command); why != nil { // before a worker can have ended the command
			return outward(why)
		}
	}
	var err error
	if slot.Payload, err = (proto.MarshalOptions{}).MarshalAppend(slot.Payload[:0], msg); err != nil {
		return Errorf(CodeInvalidArgument, "the command %s cannot be marshalled: %w", m.public.FullName(), err)
	}
	if why := queue.Put(p, slot, &sending); why != nil {
		return outward(why)
	}
	p.stored = command
	return nil
}
