// Package sample makes JSON that fits a message, for people to edit.
package sample

import (
	"encoding/json"
	"strconv"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// deepest is how many messages within messages a sample shows: with more nobody would see
// what it is about.
const deepest = 2

// JSON returns JSON that fits a message type, on one line. Each field has a value, but
// for those that are deep inside; of a oneof the first.
func JSON(m protoreflect.MessageDescriptor) json.RawMessage {
	var b strings.Builder
	writeMessage(&b, m, 0)
	return json.RawMessage(b.String())
}

func writeMessage(b *strings.Builder, m protoreflect.MessageDescriptor, depth int) {
	if text, ok := wellKnown(m); ok {
		b.WriteString(text)
		return
	}
	b.WriteByte('{')
	if depth <= deepest {
		first := true
		for i := range m.Fields().Len() {
			f := m.Fields().Get(i)
			if !shown(f, depth) {
				continue
			}
			if !first {
				b.WriteString(", ")
			}
			first = false
			b.WriteString(strconv.Quote(f.JSONName()) + ": ")
			writeField(b, f, depth)
		}
	}
	b.WriteByte('}')
}

// shown leaves out the further fields of a oneof, and messages that are too deep.
func shown(f protoreflect.FieldDescriptor, depth int) bool {
	if o := f.ContainingOneof(); o != nil && !o.IsSynthetic() && o.Fields().Get(0) != f {
		return false
	}
	if f.Message() == nil || f.IsMap() {
		return true
	}
	_, short := wellKnown(f.Message())
	return f.Message().FullName() != "google.protobuf.Any" && (short || depth < deepest)
}

func writeField(b *strings.Builder, f protoreflect.FieldDescriptor, depth int) {
	switch {
	case f.IsMap():
		value := f.MapValue()
		if value.Message() != nil && !shown(value, depth) {
			b.WriteString("{}")
			return
		}
		b.WriteString("{" + mapKey(f.MapKey()) + ": ")
		writeValue(b, value, depth)
		b.WriteByte('}')
	case f.IsList():
		b.WriteByte('[')
		writeValue(b, f, depth)
		b.WriteByte(']')
	default:
		writeValue(b, f, depth)
	}
}

func mapKey(f protoreflect.FieldDescriptor) string {
	switch f.Kind() {
	case protoreflect.StringKind:
		return `"key"`
	case protoreflect.BoolKind:
		return `"true"`
	default:
		return `"1"`
	}
}

func writeValue(b *strings.Builder, f protoreflect.FieldDescriptor, depth int) {
	switch f.Kind() {
	case protoreflect.MessageKind, protoreflect.GroupKind:
		writeMessage(b, f.Message(), depth+1)
	case protoreflect.EnumKind:
		b.WriteString(enumValue(f.Enum()))
	case protoreflect.StringKind:
		b.WriteString(textOf(f))
	case protoreflect.BytesKind:
		b.WriteString(`"AA=="`)
	case protoreflect.BoolKind:
		b.WriteString("true")
	default:
		b.WriteByte('1')
	}
}

// enumValue is the first value that says something.
func enumValue(e protoreflect.EnumDescriptor) string {
	if e.FullName() == "google.protobuf.NullValue" {
		return "null"
	}
	values := e.Values()
	return strconv.Quote(string(values.Get(min(1, values.Len()-1)).Name()))
}

// textOf is the name of the field, which says what belongs there. Names are NATS.
func textOf(f protoreflect.FieldDescriptor) string {
	if name := string(f.Name()); name != "name" && name != "names" {
		return strconv.Quote(name)
	}
	return `"NATS"`
}

// wellKnown returns the JSON of the types that have a form of their own in JSON.
func wellKnown(m protoreflect.MessageDescriptor) (string, bool) {
	switch m.FullName() {
	case "google.protobuf.Timestamp":
		return `"2030-01-01T00:00:00Z"`, true
	case "google.protobuf.Duration":
		return `"1s"`, true
	case "google.protobuf.FieldMask":
		return `""`, true
	case "google.protobuf.Any", "google.protobuf.Struct", "google.protobuf.Empty":
		return "{}", true
	case "google.protobuf.Value":
		return "1", true
	case "google.protobuf.ListValue":
		return "[]", true
	case "google.protobuf.StringValue":
		return `"text"`, true
	case "google.protobuf.BytesValue":
		return `"AA=="`, true
	case "google.protobuf.BoolValue":
		return "true", true
	case "google.protobuf.DoubleValue", "google.protobuf.FloatValue", "google.protobuf.Int32Value", "google.protobuf.Int64Value",
		"google.protobuf.UInt32Value", "google.protobuf.UInt64Value":
		return "1", true
	default:
		return "", false
	}
}
