// Package keyfield reads the key out of a message: the field that a method's proto
// names as sticky_field or key_field.
package keyfield

import (
	"strconv"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Path is the way to the field; nil if the proto names none. It holds the numbers of
// fields, as the descriptor of a service need not be made of the very descriptors that
// its messages have.
type Path []protoreflect.FieldNumber

// New returns the path along the fields that a proto names.
func New(fields []protoreflect.FieldDescriptor) Path {
	var path Path
	for _, field := range fields {
		path = append(path, field.Number())
	}
	return path
}

// Of returns the field's value in a message as text. A field that is not set has its
// default.
func (p Path) Of(m proto.Message) string {
	message := m.ProtoReflect()
	for i, number := range p {
		field := message.Descriptor().Fields().ByNumber(number)
		switch {
		case field == nil: // the message is of another version than the service's descriptor
			return ""
		case i == len(p)-1:
			return text(field.Kind(), message.Get(field))
		case field.Message() == nil || field.IsList() || field.IsMap():
			return ""
		}
		message = message.Get(field).Message()
	}
	return ""
}

func text(kind protoreflect.Kind, v protoreflect.Value) string {
	switch kind {
	case protoreflect.StringKind:
		return v.String()
	case protoreflect.BytesKind:
		return string(v.Bytes())
	case protoreflect.EnumKind:
		return strconv.Itoa(int(v.Enum()))
	case protoreflect.Int32Kind, protoreflect.Int64Kind, protoreflect.Sint32Kind, protoreflect.Sint64Kind,
		protoreflect.Sfixed32Kind, protoreflect.Sfixed64Kind:
		return strconv.FormatInt(v.Int(), 10)
	case protoreflect.Uint32Kind, protoreflect.Uint64Kind, protoreflect.Fixed32Kind, protoreflect.Fixed64Kind:
		return strconv.FormatUint(v.Uint(), 10)
	default: // bool, float, double
		return v.String()
	}
}
