package describe

import (
	"encoding/json"
	"fmt"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	"github.com/aegisrpc/aegis/runtime/aegisreflect"
)

// deepest is how deep messages in messages are shown: they may contain themselves.
const deepest = 4

// shape returns the fields of a message, one a line, as JSON has them.
func shape(app *cli.App, m protoreflect.MessageDescriptor) string {
	var b strings.Builder
	writeFields(&b, app, m, "    ", 1)
	if b.Len() == 0 {
		return "    no fields\n"
	}
	return b.String()
}

func writeFields(b *strings.Builder, app *cli.App, m protoreflect.MessageDescriptor, indent string, depth int) {
	for i := range m.Fields().Len() {
		f := m.Fields().Get(i)
		line := fmt.Sprintf("%s%s  %s", indent, app.Style.Paint(cli.Bold, f.JSONName()), typeOf(f))
		if o := f.ContainingOneof(); o != nil && !o.IsSynthetic() {
			line += ", one of " + string(o.Name())
		}
		if text := firstSentence(aegisreflect.Comment(f)); text != "" {
			line += app.Style.Paint(cli.Dim, "  # "+cli.Clean(text))
		}
		b.WriteString(line + "\n")
		if inner := f.Message(); inner != nil && !f.IsMap() && !wellKnown(inner) && depth < deepest {
			writeFields(b, app, inner, indent+"  ", depth+1)
		}
	}
}

// typeOf returns the type of a field, as a proto has it.
func typeOf(f protoreflect.FieldDescriptor) string {
	switch {
	case f.IsMap():
		return fmt.Sprintf("map<%s, %s>", typeOf(f.MapKey()), typeOf(f.MapValue()))
	case f.IsList():
		return "repeated " + element(f)
	default:
		return element(f)
	}
}

func element(f protoreflect.FieldDescriptor) string {
	switch {
	case f.Enum() != nil:
		var names []string
		for i := range f.Enum().Values().Len() {
			names = append(names, string(f.Enum().Values().Get(i).Name()))
		}
		return string(f.Enum().Name()) + ": " + strings.Join(names, " | ")
	case f.Message() != nil:
		return string(f.Message().FullName())
	default:
		return f.Kind().String()
	}
}

// wellKnown tells whether a message has a JSON of its own, as timestamps have.
func wellKnown(m protoreflect.MessageDescriptor) bool {
	return strings.HasPrefix(string(m.FullName()), "google.protobuf.")
}

// Template returns JSON with all fields of a message, to be filled in. Of a oneof it has
// the first field.
func Template(m protoreflect.MessageDescriptor) json.RawMessage {
	var b strings.Builder
	writeTemplate(&b, m, 1)
	return json.RawMessage(b.String())
}

func writeTemplate(b *strings.Builder, m protoreflect.MessageDescriptor, depth int) {
	b.WriteByte('{')
	first := true
	for i := range m.Fields().Len() {
		f := m.Fields().Get(i)
		if o := f.ContainingOneof(); o != nil && !o.IsSynthetic() && o.Fields().Get(0) != f {
			continue
		}
		if f.Message() != nil && depth == deepest {
			continue
		}
		if !first {
			b.WriteString(", ")
		}
		first = false
		fmt.Fprintf(b, "%q: ", f.JSONName())
		writeValue(b, f, depth)
	}
	b.WriteByte('}')
}

func writeValue(b *strings.Builder, f protoreflect.FieldDescriptor, depth int) {
	switch {
	case f.IsMap():
		b.WriteString("{}")
	case f.IsList() && f.Message() != nil:
		b.WriteByte('[')
		writeElement(b, f, depth)
		b.WriteByte(']')
	case f.IsList():
		b.WriteString("[]")
	default:
		writeElement(b, f, depth)
	}
}

// ownJSON are the values of messages whose JSON is no object.
var ownJSON = map[protoreflect.FullName]string{
	"google.protobuf.Timestamp": `"2026-01-01T00:00:00Z"`, "google.protobuf.Duration": `"1s"`, "google.protobuf.FieldMask": `""`,
	"google.protobuf.Struct": "{}", "google.protobuf.Value": "null", "google.protobuf.ListValue": "[]", "google.protobuf.Any": "{}",
	"google.protobuf.StringValue": `""`, "google.protobuf.BytesValue": `""`, "google.protobuf.BoolValue": "false",
	"google.protobuf.Int32Value": "0", "google.protobuf.UInt32Value": "0", "google.protobuf.Int64Value": `"0"`,
	"google.protobuf.UInt64Value": `"0"`, "google.protobuf.FloatValue": "0", "google.protobuf.DoubleValue": "0",
}

func writeElement(b *strings.Builder, f protoreflect.FieldDescriptor, depth int) {
	switch {
	case f.Message() != nil:
		if text, own := ownJSON[f.Message().FullName()]; own {
			b.WriteString(text)
			return
		}
		writeTemplate(b, f.Message(), depth+1)
	case f.Enum() != nil:
		fmt.Fprintf(b, "%q", f.Enum().Values().Get(min(1, f.Enum().Values().Len()-1)).Name())
	case f.Kind() == protoreflect.StringKind, f.Kind() == protoreflect.BytesKind:
		b.WriteString(`""`)
	case f.Kind() == protoreflect.BoolKind:
		b.WriteString("false")
	default:
		b.WriteString("0")
	}
}
