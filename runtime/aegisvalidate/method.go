package aegisvalidate

import (
	"errors"

	"buf.build/go/protovalidate"
	"google.golang.org/protobuf/proto"

	aegis "github.com/aegisrpc/aegis/runtime"
)

// method validates the requests of one method at one side.
type method struct {
	validator protovalidate.Validator
	permanent bool // a message that breaks the rules goes to the dead letters
	running   bool // the handler runs while messages are validated
}

func newMethod(v protovalidate.Validator, m aegis.Method, side aegis.Side) *method {
	return &method{
		validator: v,
		permanent: side == aegis.SideSubscriber || side == aegis.SideWorker,
		running:   m.Descriptor != nil && m.Descriptor.IsStreamingClient(),
	}
}

// validate returns the error of a message that breaks its rules.
func (m *method) validate(msg proto.Message) error {
	err := m.validator.Validate(msg)
	if err == nil {
		return nil
	}
	e := aegis.Errorf(aegis.CodeInternal, "a message of type %s cannot be validated: %w", msg.ProtoReflect().Descriptor().FullName(), err)
	if broken, ok := errors.AsType[*protovalidate.ValidationError](err); ok {
		e = aegis.Errorf(aegis.CodeInvalidArgument, "%w", broken).WithDetails(broken.ToProto())
	}
	switch {
	case m.permanent:
		return aegis.Permanent(e)
	case m.running:
		return e
	default:
		return e.AsRefusal(aegis.ReasonRefused)
	}
}

// sending is the stream of a client.
type sending struct {
	aegis.AnyStream
	method *method
}

func (s *sending) Send(m proto.Message) error {
	if err := s.method.validate(m); err != nil {
		return err
	}
	return s.AnyStream.Send(m)
}

// receiving is the stream of a server.
type receiving struct {
	aegis.AnyStream
	method *method
}

func (s *receiving) Recv(m proto.Message) error {
	if err := s.AnyStream.Recv(m); err != nil {
		return err
	}
	return s.method.validate(m)
}
