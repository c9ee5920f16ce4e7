package mcp

import (
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/aegisrpc/aegis/runtime/aegisreflect"
)

// schema is a JSON schema of draft 2020-12.
type schema map[string]any

// The types of JSON values that schemas name.
const (
	typeObject = "object"
	typeArray  = "array"
	typeString = "string"
)

// of returns the schema of a type of JSON values.
func of(kind any) schema { return schema{"type": kind} }

// with adds a keyword to a schema.
func (s schema) with(keyword string, value any) schema {
	s[keyword] = value
	return s
}

// requestsField is the field with the requests, where the input of a tool is a list of them.
const requestsField = "requests"

// inputSchema returns the schema of the input of a method's tool: its request or, if the
// method takes a stream of them, an object with a list of requests.
func inputSchema(m *aegisreflect.Method) schema {
	defs := schema{}
	input := m.Descriptor().Input()
	top := object(input, defs)
	if m.Descriptor().IsStreamingClient() {
		all := of(typeArray).with("items", top).with("description", "The messages of the stream, in their order.")
		top = of(typeObject).with("required", []string{requestsField}).with("properties", schema{requestsField: all})
	}
	if len(defs) > 0 {
		top["$defs"] = defs
	}
	return top
}

// object returns the schema of a message, and adds those of the messages in it to defs.
func object(m protoreflect.MessageDescriptor, defs schema) schema {
	properties := schema{}
	for i := range m.Fields().Len() {
		f := m.Fields().Get(i)
		one := field(f, defs)
		if text := comment(f); text != "" {
			one["description"] = text
		}
		properties[f.JSONName()] = one
	}
	out := of(typeObject).with("properties", properties).with("additionalProperties", false)
	if text := aegisreflect.Comment(m); text != "" {
		out["description"] = text
	}
	return out
}

// comment returns the comment of a field, with the fields that exclude it.
func comment(f protoreflect.FieldDescriptor) string {
	text := aegisreflect.Comment(f)
	if o := f.ContainingOneof(); o != nil && !o.IsSynthetic() {
		text += " (At most one field of " + string(o.Name()) + " may be set.)"
	}
	return text
}

func field(f protoreflect.FieldDescriptor, defs schema) schema {
	switch {
	case f.IsMap():
		return of(typeObject).with("additionalProperties", element(f.MapValue(), defs))
	case f.IsList():
		return of(typeArray).with("items", element(f, defs))
	default:
		return element(f, defs)
	}
}

// wellKnown are the schemas of messages that have a JSON of their own.
var wellKnown = map[protoreflect.FullName]func() schema{
	"google.protobuf.Timestamp":   func() schema { return of(typeString).with("format", "date-time") },
	"google.protobuf.Duration":    func() schema { return of(typeString).with("pattern", `^-?\d+(\.\d+)?s$`) },
	"google.protobuf.FieldMask":   text,
	"google.protobuf.Struct":      func() schema { return of(typeObject) },
	"google.protobuf.Any":         func() schema { return of(typeObject) },
	"google.protobuf.Empty":       func() schema { return of(typeObject) },
	"google.protobuf.Value":       func() schema { return schema{} },
	"google.protobuf.ListValue":   func() schema { return of(typeArray) },
	"google.protobuf.StringValue": text,
	"google.protobuf.BytesValue":  bytes,
	"google.protobuf.BoolValue":   func() schema { return of("boolean") },
	"google.protobuf.Int32Value":  integer,
	"google.protobuf.UInt32Value": integer,
	"google.protobuf.Int64Value":  long,
	"google.protobuf.UInt64Value": long,
	"google.protobuf.FloatValue":  number,
	"google.protobuf.DoubleValue": number,
}

func text() schema    { return of(typeString) }
func bytes() schema   { return of(typeString).with("contentEncoding", "base64") }
func integer() schema { return of("integer") }
func number() schema  { return of("number") }

// long is a 64-bit integer, which protobuf's JSON writes as a string.
func long() schema { return of([]string{typeString, "integer"}).with("pattern", `^-?\d+$`) }

func element(f protoreflect.FieldDescriptor, defs schema) schema {
	switch f.Kind() {
	case protoreflect.MessageKind, protoreflect.GroupKind:
		return reference(f.Message(), defs)
	case protoreflect.EnumKind:
		var names []string
		for i := range f.Enum().Values().Len() {
			names = append(names, string(f.Enum().Values().Get(i).Name()))
		}
		return of(typeString).with("enum", names)
	case protoreflect.BoolKind:
		return of("boolean")
	case protoreflect.StringKind:
		return text()
	case protoreflect.BytesKind:
		return bytes()
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		return number()
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Uint64Kind, protoreflect.Fixed64Kind, protoreflect.Sfixed64Kind:
		return long()
	default:
		return integer()
	}
}

// reference refers to the schema of a message, which may contain itself, in defs.
func reference(m protoreflect.MessageDescriptor, defs schema) schema {
	if known := wellKnown[m.FullName()]; known != nil {
		return known()
	}
	name := string(m.FullName())
	if _, done := defs[name]; !done {
		defs[name] = schema{} // so that it is made once, however deep
		defs[name] = object(m, defs)
	}
	return schema{"$ref": "#/$defs/" + name}
}
