package aegisreflect

import (
	"bytes"
	"encoding/json"
	"errors"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	aegis "github.com/aegisrpc/aegis/runtime"
)

// JSON writes a message as JSON in one line, as protobuf defines JSON: a response, an event,
// a detail of an error. It finds the messages in google.protobuf.Any among the types of the
// service, then among those that the program links; of a type that is in neither, it writes
// the name alone, as {"@type": "..."}. The same message always gives the same bytes. The code
// of the error is CodeInternal.
func (s *Service) JSON(msg proto.Message) ([]byte, error) {
	if msg == nil {
		return nil, aegis.NewError(aegis.CodeInternal, "a nil message cannot be written as JSON")
	}
	text, err := protojson.MarshalOptions{AllowPartial: true, Resolver: showing{s.types}}.Marshal(msg)
	if err == nil {
		var line bytes.Buffer
		if err = json.Compact(&line, text); err == nil { // protojson sets spaces at random
			return line.Bytes(), nil
		}
	}
	return nil, aegis.Errorf(aegis.CodeInternal, "a %s cannot be written as JSON: %w", msg.ProtoReflect().Descriptor().FullName(), err)
}

// types finds the types of a service, and those of the program that the service does not
// have.
type types struct{ own *dynamicpb.Types }

func (t types) FindMessageByName(name protoreflect.FullName) (protoreflect.MessageType, error) {
	if m, err := t.own.FindMessageByName(name); err == nil {
		return m, nil
	}
	return protoregistry.GlobalTypes.FindMessageByName(name)
}

func (t types) FindMessageByURL(url string) (protoreflect.MessageType, error) {
	if m, err := t.own.FindMessageByURL(url); err == nil {
		return m, nil
	}
	return protoregistry.GlobalTypes.FindMessageByURL(url)
}

// FindExtensionByName looks at the service alone: an extension of a type of the program does
// not fit a message of the service.
func (t types) FindExtensionByName(name protoreflect.FullName) (protoreflect.ExtensionType, error) {
	return t.own.FindExtensionByName(name)
}

func (t types) FindExtensionByNumber(message protoreflect.FullName, field protoreflect.FieldNumber) (protoreflect.ExtensionType, error) {
	return t.own.FindExtensionByNumber(message, field)
}

// unmarshalJSON reads JSON that a person has written: fields that the message does not have
// are errors.
func (t types) unmarshalJSON(data []byte, into *dynamicpb.Message) error {
	err := protojson.UnmarshalOptions{Resolver: t}.Unmarshal(data, into)
	if err == nil {
		return nil
	}
	return t.explain(data, into.Descriptor(), err)
}

// lenient reads JSON that another process has written, which may be newer.
func (t types) lenient() protojson.UnmarshalOptions {
	return protojson.UnmarshalOptions{Resolver: t, DiscardUnknown: true}
}

// showing are types among which each message of google.protobuf.Any is found.
type showing struct{ types }

// FindMessageByURL returns a type without fields for a type that nobody knows.
func (s showing) FindMessageByURL(url string) (protoreflect.MessageType, error) {
	m, err := s.types.FindMessageByURL(url)
	if errors.Is(err, protoregistry.NotFound) {
		return unknownType, nil
	}
	return m, err
}
