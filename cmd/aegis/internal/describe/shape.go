package describe

import (
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
