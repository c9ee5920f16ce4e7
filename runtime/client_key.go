package aegis

import (
	"strconv"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// keyField is the path to the field of a message that the proto names as
// sticky_field or key_field; nil if it names none. It holds numbers, as a descriptor of the
// service need not be made of the very descriptors of the messages.
type keyField []protoreflect.FieldNumber

func newKeyField(path []protoreflect.FieldDescriptor) keyField {
	var numbers keyField
	for _, field := range path {
		numbers = append(numbers, field.Number())
	}
	return numbers
}

// of returns the field's value as text; what is not set has its default.
func (f keyField) of(req proto.Message) string {
	message := req.ProtoReflect()
	for i, number := range f {
		field := message.Descriptor().Fields().ByNumber(number)
		switch {
		case field == nil: // of another version than the service's descriptor
			return ""
		case i == len(f)-1:
			return keyText(field.Kind(), message.Get(field))
		case field.Message() == nil || field.IsList() || field.IsMap():
			return ""
		}
		message = message.Get(field).Message()
	}
	return ""
}

func keyText(kind protoreflect.Kind, v protoreflect.Value) string {
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
