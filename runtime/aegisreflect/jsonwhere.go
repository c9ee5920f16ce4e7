package aegisreflect

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/aegisrpc/aegis/internal/near"
)

// spot is a place in JSON: the values around it, the outermost first. The innermost one is
// the value at the place, or the value whose field is there.
type spot struct {
	around []nesting
	atKey  bool // the place is the name of a field
}

// nesting is one value around a place.
type nesting struct {
	step    string                         // of the path
	message protoreflect.MessageDescriptor // of an object that is a message; nil for others, and if it is unknown
	field   protoreflect.FieldDescriptor   // the value is the field's, or one of them; nil if it is unknown
	element bool                           // the value is one of a list or a map
	array   bool                           // it is a JSON array
	index   int                            // of the next element of an array
	key     string                         // of the field whose value comes next
	named   bool                           // key is set
}

// find returns the spot at an offset. The JSON may be wrong there, and behind.
func (t types) find(data []byte, offset int, desc protoreflect.MessageDescriptor) *spot {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	s := &spot{}
	next := nesting{message: desc} // the value that comes next
	for {
		top := s.top()
		inObject := top != nil && !top.array
		if inObject && top.named || top != nil && top.array {
			next = t.child(top)
		}
		atKey := inObject && !top.named
		if begin(data, dec.InputOffset()) >= offset {
			if s.atKey = atKey; !atKey {
				s.around = append(s.around, next)
			}
			return s
		}
		token, err := dec.Token()
		if err != nil {
			if !atKey {
				s.around = append(s.around, next)
			}
			return s
		}
		if !s.step(token, next, atKey) {
			return s
		}
	}
}

// step takes the next token. It returns false at the end of the JSON.
func (s *spot) step(token json.Token, next nesting, atKey bool) bool {
	top := s.top()
	switch token {
	case json.Delim('{'), json.Delim('['):
		next.array = token == json.Delim('[')
		s.around = append(s.around, next)
		return true
	case json.Delim('}'), json.Delim(']'):
		s.around = s.around[:len(s.around)-1]
	default:
		if atKey {
			top.key, top.named = token.(string), true //nolint:forcetypeassert // a key is a string
			return true
		}
	}
	top = s.top()
	if top == nil {
		return false
	}
	top.named = false
	if top.array {
		top.index++
	}
	return true
}

func (s *spot) top() *nesting {
	if len(s.around) == 0 {
		return nil
	}
	return &s.around[len(s.around)-1]
}

// begin returns where the token behind an offset begins.
func begin(data []byte, at int64) int {
	i := int(at)
	for i < len(data) && strings.IndexByte(" \t\r\n,:", data[i]) >= 0 {
		i++
	}
	return i
}

// child returns the value that comes next within a value.
func (t types) child(in *nesting) nesting {
	if in.array {
		c := nesting{step: "[" + strconv.Itoa(in.index) + "]", field: in.field, element: true}
		if in.field != nil {
			c.message = in.field.Message()
		}
		return c
	}
	switch {
	case in.field != nil && in.field.IsMap() && !in.element:
		value := in.field.MapValue()
		return nesting{step: "[" + strconv.Quote(in.key) + "]", field: value, message: value.Message(), element: true}
	case in.message == nil:
		return nesting{step: "." + in.key}
	}
	c := nesting{step: "." + in.key, field: t.fieldOf(in.message, in.key)}
	if c.field != nil && !c.field.IsMap() {
		c.message = c.field.Message()
	}
	return c
}

// fieldOf finds a field by the name that JSON has for it; nil if there is none.
func (t types) fieldOf(m protoreflect.MessageDescriptor, name string) protoreflect.FieldDescriptor {
	if f := m.Fields().ByJSONName(name); f != nil {
		return f
	}
	if f := m.Fields().ByTextName(name); f != nil {
		return f
	}
	if full, ok := strings.CutPrefix(name, "["); ok {
		if x, err := t.FindExtensionByName(protoreflect.FullName(strings.TrimSuffix(full, "]"))); err == nil {
			return x.TypeDescriptor()
		}
	}
	return nil
}

// path returns the way from the message to the spot.
func (s *spot) path() string {
	var b strings.Builder
	for _, n := range s.around {
		b.WriteString(n.step)
	}
	return strings.TrimPrefix(b.String(), ".")
}

// expected says which JSON may be there; "" if that is not known.
func (s *spot) expected() string {
	top := s.top()
	switch {
	case top == nil || s.atKey:
		return ""
	case top.field == nil:
		if top.message == nil {
			return ""
		}
		return messageExpectation(top.message)
	case top.field.IsMap() && !top.element:
		return "an object (map)"
	case top.field.IsList() && !top.element:
		if one := expectation(top.field); one != "" {
			return "an array, of which each element is " + one
		}
		return "an array"
	default:
		return expectation(top.field)
	}
}

// hint names the values of an enum that a wrong value may stand for.
func (s *spot) hint(raw string) string {
	top := s.top()
	if top.field == nil || top.field.Enum() == nil {
		return ""
	}
	name, err := strconv.Unquote(raw)
	if err != nil {
		name = raw
	}
	return near.DidYouMean(name, valueNames(top.field.Enum()), "values")
}

// unknownField says that the message at the spot has no field of a name.
func (s *spot) unknownField(name string) string {
	top := s.top()
	if top == nil || top.message == nil {
		return "unknown field " + strconv.Quote(name)
	}
	return string(top.message.FullName()) + " has no field " + strconv.Quote(name) + near.DidYouMean(name, fieldNames(top.message), "fields")
}
