package aegisreflect

import (
	"context"
	"iter"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/emptypb"

	aegis "github.com/aegisrpc/aegis/runtime"
)

// Send stores a command and returns a handle of it when it is stored. Options and errors are
// those of a generated client.
func (m *Method) Send(ctx context.Context, req proto.Message, opts ...aegis.SendOption) (*Command, error) {
	method, err := clientMethod(m, &m.command, kindCommand, aegis.NewCommandMethod[dynamicpb.Message, emptypb.Empty])
	if err != nil {
		return nil, err
	}
	msg, err := m.outgoing(req)
	if err != nil {
		return nil, err
	}
	sent, err := method.Send(ctx, msg, opts...)
	if err != nil {
		return nil, err
	}
	return &Command{handle: sent, method: m, id: sent.ID()}, nil
}

// Command returns a handle of the command with this id, whoever has sent it. That there is
// no such command its methods say, and they have an error if the method is no command.
func (m *Method) Command(id string) *Command {
	if err := m.is(kindCommand); err != nil {
		return &Command{method: m, id: id, broken: err}
	}
	handle := aegis.NewCommand[emptypb.Empty](m.service.resolver.conn, borrowed{m.service.spec.Desc}, protoreflect.Name(m.spec.Name), id)
	return &Command{handle: handle, method: m, id: id}
}

// Command is a handle of one command, as aegis.Command is one: see there for what the methods
// return. It is safe for concurrent use, and needs no closing.
type Command struct {
	handle *aegis.Command[emptypb.Empty] // nil if the method is no command
	method *Method
	id     string
	broken error // why there is no handle
}

// Method returns the method of the command.
func (c *Command) Method() *Method { return c.method }

// ID returns the id of the command.
func (c *Command) ID() string { return c.id }

// Status returns what is known of the command now.
func (c *Command) Status(ctx context.Context) (*aegis.CommandStatus, error) {
	if c.broken != nil {
		return nil, c.broken
	}
	return c.handle.Status(ctx)
}

// Progress returns the reports of the command's handler, until the command has ended.
func (c *Command) Progress(ctx context.Context) iter.Seq2[*aegis.Progress, error] {
	if c.broken != nil {
		return func(yield func(*aegis.Progress, error) bool) { yield(nil, c.broken) }
	}
	return c.handle.Progress(ctx)
}

// Result waits until the command has ended, and returns its response, or why it has none.
func (c *Command) Result(ctx context.Context) (*dynamicpb.Message, error) {
	if c.broken != nil {
		return nil, c.broken
	}
	carrier, err := c.handle.Result(ctx)
	if err != nil {
		return nil, err
	}
	return c.method.response(carrier)
}

// Cancel asks for the end of the command.
func (c *Command) Cancel(ctx context.Context) error {
	if c.broken != nil {
		return c.broken
	}
	return c.handle.Cancel(ctx)
}
