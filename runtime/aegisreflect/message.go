package aegisreflect

import (
	"bytes"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/emptypb"

	aegis "github.com/aegisrpc/aegis/runtime"
)

// NewRequest returns an empty request of the method: that of a call or of a stream, the
// event, or the command.
func (m *Method) NewRequest() *dynamicpb.Message { return dynamicpb.NewMessage(m.input()) }

// Request reads a request of the method from JSON, as protobuf defines JSON; no bytes at all
// are an empty request. The code of the error is CodeInvalidArgument, and it wraps a
// *JSONError, which says where the JSON does not fit and what was expected.
func (m *Method) Request(data []byte) (*dynamicpb.Message, error) {
	req := m.NewRequest()
	if len(bytes.TrimSpace(data)) == 0 {
		return req, nil
	}
	if err := m.service.types.unmarshalJSON(data, req); err != nil {
		return nil, aegis.Errorf(aegis.CodeInvalidArgument, "the JSON of %s for %s: %w", m.input().FullName(), m.FullName(), err)
	}
	return req, nil
}

// DecodeRequest reads a request of the method from the bytes that were stored or sent, such
// as those of a command that waits in its queue. The code of the error is CodeDataLoss.
func (m *Method) DecodeRequest(data []byte) (*dynamicpb.Message, error) {
	return m.service.decode(m.input(), data)
}

// DecodeResponse is DecodeRequest for a response, such as a stored result of a command.
func (m *Method) DecodeResponse(data []byte) (*dynamicpb.Message, error) {
	return m.service.decode(m.output(), data)
}

// DecodeDeadLetter reads the event or the command of a dead letter of the service. The error
// wraps ErrUnknownMethod if these descriptors do not have its method, and has CodeDataLoss if
// the letter has no data (see aegis.DeadLetter.Omitted), or cannot be read.
func (s *Service) DecodeDeadLetter(d *aegis.DeadLetter) (*dynamicpb.Message, error) {
	if d.Service != s.Name() {
		return nil, aegis.Errorf(aegis.CodeInvalidArgument, "dead letter %d is of %s, and these are the descriptors of %s", d.Sequence, d.Service, s.Name())
	}
	m, err := s.Method(d.Method)
	if err != nil {
		return nil, err
	}
	if d.Omitted > 0 {
		return nil, aegis.Errorf(aegis.CodeDataLoss, "dead letter %d of %s has no data: its %d bytes were left out, as the letter would have been too large",
			d.Sequence, m.FullName(), d.Omitted)
	}
	msg := m.NewRequest()
	if err := d.Unmarshal(msg); err != nil {
		return nil, aegis.Errorf(aegis.CodeDataLoss, "%w", err)
	}
	if err := s.resolveExtensions(msg); err != nil {
		return nil, aegis.Errorf(aegis.CodeDataLoss, "dead letter %d of %s: %w", d.Sequence, m.FullName(), err)
	}
	return msg, nil
}

func (s *Service) decode(desc protoreflect.MessageDescriptor, data []byte) (*dynamicpb.Message, error) {
	msg := dynamicpb.NewMessage(desc)
	if err := (proto.UnmarshalOptions{Resolver: s.types}).Unmarshal(data, msg); err != nil {
		return nil, aegis.Errorf(aegis.CodeDataLoss, "%d bytes are no valid %s: %w", len(data), desc.FullName(), err)
	}
	return msg, nil
}

// resolveExtensions makes fields of extensions that are unknown fields of a message that was
// read without the types of the service.
func (s *Service) resolveExtensions(msg *dynamicpb.Message) error {
	if len(msg.GetUnknown()) == 0 {
		return nil
	}
	data, err := proto.Marshal(msg)
	if err != nil {
		return err
	}
	return proto.UnmarshalOptions{Resolver: s.types}.Unmarshal(data, msg)
}

// response makes the response of the message that its bytes were read into.
func (m *Method) response(carrier *emptypb.Empty) (*dynamicpb.Message, error) {
	msg := dynamicpb.NewMessage(m.output())
	if err := (proto.UnmarshalOptions{Resolver: m.service.types}).Unmarshal(carrier.ProtoReflect().GetUnknown(), msg); err != nil {
		return nil, aegis.Errorf(aegis.CodeInternal, "the reply of %s is no valid %s: %w", m.FullName(), m.output().FullName(), err)
	}
	return msg, nil
}

// outgoing returns a request as a dynamic message of the descriptors of the service.
func (m *Method) outgoing(req proto.Message) (*dynamicpb.Message, error) {
	dynamic, isDynamic := req.(*dynamicpb.Message)
	if req == nil || isDynamic && dynamic == nil || !req.ProtoReflect().IsValid() {
		return nil, aegis.Errorf(aegis.CodeInvalidArgument, "the request of %s is nil; NewRequest returns an empty one", m.FullName())
	}
	have := req.ProtoReflect().Descriptor()
	if isDynamic && have == m.input() {
		return dynamic, nil
	}
	if have.FullName() != m.input().FullName() {
		return nil, aegis.Errorf(aegis.CodeInvalidArgument, "the request of %s is a %s, and not a %s", m.FullName(), m.input().FullName(), have.FullName())
	}
	// It is of generated code, or of other descriptors.
	msg := m.NewRequest()
	data, err := proto.Marshal(req)
	if err == nil {
		err = proto.UnmarshalOptions{Resolver: m.service.types}.Unmarshal(data, msg)
	}
	if err != nil {
		return nil, aegis.Errorf(aegis.CodeInvalidArgument, "the request of %s: %w", m.FullName(), err)
	}
	return msg, nil
}
