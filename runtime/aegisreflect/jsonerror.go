package aegisreflect

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// JSONError says where JSON does not fit a message.
type JSONError struct {
	// Line and Column, from 1 on, are where the mistake begins; a column is a character. They
	// are 0 if the mistake has no place, such as a required field that is missing.
	Line, Column int
	// Path is the way to the value or the field from the message, such as
	// "order.items[2].price"; "" for the message itself.
	Path string
	// Problem says what was expected there, and what was found.
	Problem string
}

// Error returns place, path and problem.
func (e *JSONError) Error() string {
	text := e.Problem
	if e.Path != "" {
		text = e.Path + ": " + text
	}
	if e.Line > 0 {
		text = fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, text)
	}
	return text
}

// placed matches the errors of protojson that have a place.
var placed = regexp.MustCompile(`(?s)^proto:\s*(syntax error )?\(line (\d+):(\d+)\): (.*)$`)

// Texts of protojson, which TestJSONErrorsSayWhereAndWhat holds in place.
var (
	unknownField = regexp.MustCompile(`^unknown field (".*")$`)
	invalidValue = regexp.MustCompile(`^(invalid value for|unexpected token|invalid google\.protobuf\.)`)
)

// explain makes a JSONError of an error of protojson.
func (t types) explain(data []byte, desc protoreflect.MessageDescriptor, err error) *JSONError {
	match := placed.FindStringSubmatch(strings.ReplaceAll(err.Error(), "\u00a0", " "))
	if match == nil {
		text := strings.TrimSpace(strings.TrimPrefix(strings.ReplaceAll(err.Error(), "\u00a0", " "), "proto:"))
		if strings.Contains(text, "unexpected EOF") {
			line, column := position(data)
			return &JSONError{Line: line, Column: column, Path: t.find(data, len(data), desc).path(), Problem: "the JSON ends too early"}
		}
		return &JSONError{Problem: text}
	}
	e := &JSONError{Problem: match[4]}
	e.Line, _ = strconv.Atoi(match[2]) // digits
	e.Column, _ = strconv.Atoi(match[3])
	place := offset(data, e.Line, e.Column)
	at := t.find(data, place, desc)
	e.Path = at.path()
	if m := unknownField.FindStringSubmatch(e.Problem); m != nil {
		name, err := strconv.Unquote(m[1])
		if err != nil {
			name = strings.Trim(m[1], `"`)
		}
		e.Problem = at.unknownField(name)
		return e
	}
	if expected := at.expected(); expected != "" && invalidValue.MatchString(e.Problem) {
		found := token(data[place:])
		e.Problem = "expected " + expected + ", found " + shortened(found) + at.hint(found)
	}
	return e
}

// token returns the first token of JSON that may be wrong.
func token(data []byte) string {
	if len(data) == 0 {
		return "nothing"
	}
	end := 1
	switch data[0] {
	case '{', '[', '}', ']', ',', ':':
	case '"':
		for end < len(data) && data[end] != '"' {
			if data[end] == '\\' {
				end++
			}
			end++
		}
		end++
	default:
		for end < len(data) && strings.IndexByte(" \t\r\n,:{}[]\"", data[end]) < 0 {
			end++
		}
	}
	return strings.ToValidUTF8(string(data[:min(end, len(data))]), "\uFFFD")
}

// maxShown bounds the part of the JSON that an error repeats, in characters.
const maxShown = 60

func shortened(raw string) string {
	if utf8.RuneCountInString(raw) <= maxShown {
		return raw
	}
	return string([]rune(raw)[:maxShown]) + "..."
}

// position returns the line and the column behind data.
func position(data []byte) (line, column int) {
	text := string(data)
	line = strings.Count(text, "\n") + 1
	return line, utf8.RuneCountInString(text[strings.LastIndexByte(text, '\n')+1:]) + 1
}

// offset returns the offset of a line and a column; the length of data if there is no such
// place.
func offset(data []byte, line, column int) int {
	at := 0
	for ; line > 1 && at < len(data); at++ {
		if data[at] == '\n' {
			line--
		}
	}
	for ; column > 1 && at < len(data); column-- {
		_, size := utf8.DecodeRune(data[at:])
		at += size
	}
	return at
}

// expectation says which JSON a field, or a value of a list or a map, may have; "" if any.
func expectation(fd protoreflect.FieldDescriptor) string {
	switch fd.Kind() {
	case protoreflect.BoolKind:
		return "true or false"
	case protoreflect.EnumKind:
		return "a value of " + string(fd.Enum().FullName())
	case protoreflect.StringKind:
		return "a string"
	case protoreflect.BytesKind:
		return "a string in base64"
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		return "a number (" + fd.Kind().String() + ")"
	case protoreflect.MessageKind, protoreflect.GroupKind:
		return messageExpectation(fd.Message())
	default:
		return "an integer (" + fd.Kind().String() + ")"
	}
}

func messageExpectation(m protoreflect.MessageDescriptor) string {
	name, wellKnown := strings.CutPrefix(string(m.FullName()), "google.protobuf.")
	if !wellKnown {
		return "an object (" + string(m.FullName()) + ")"
	}
	switch name {
	case "Timestamp":
		return `a time such as "2006-01-02T15:04:05Z"`
	case "Duration":
		return `a duration such as "1.5s"`
	case "FieldMask":
		return `paths of fields such as "id,order.price"`
	case "ListValue":
		return "an array"
	case "Value":
		return ""
	case "Any":
		return `an object with "@type"`
	case "BoolValue", "BytesValue", "DoubleValue", "FloatValue", "Int32Value", "Int64Value", "StringValue", "UInt32Value", "UInt64Value":
		if value := m.Fields().ByName("value"); value != nil && value.Message() == nil { // else somebody else's message has the name
			return expectation(value)
		}
	}
	return "an object (" + string(m.FullName()) + ")"
}

// fieldNames returns the names of the fields of a message as JSON has them.
func fieldNames(m protoreflect.MessageDescriptor) []string {
	var names []string
	for i := range m.Fields().Len() {
		names = append(names, m.Fields().Get(i).JSONName())
	}
	return names
}

// valueNames returns the names of the values of an enum.
func valueNames(e protoreflect.EnumDescriptor) []string {
	var names []string
	for i := range e.Values().Len() {
		names = append(names, string(e.Values().Get(i).Name()))
	}
	return names
}
