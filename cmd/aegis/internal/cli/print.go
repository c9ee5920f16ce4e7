package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf16"
)

// Print writes a value as JSON, or the table that fill makes of it. Nothing is written
// before all of it is there.
func (a *App) Print(value any, fill func(*Table)) error {
	if a.JSON() {
		return a.PrintJSON(value)
	}
	t := &Table{style: a.Style, width: a.width}
	fill(t)
	return t.write(a.Out)
}

// PrintJSON writes a value as JSON over several lines, for a command whose whole output
// is one value.
func (a *App) PrintJSON(value any) error {
	b, err := encode(value, "  ")
	if err != nil {
		return err
	}
	_, err = a.Out.Write(b)
	return err
}

// PrintLine writes a value as one line of JSON, for a command whose output goes on.
func (a *App) PrintLine(value any) error {
	b, err := encode(value, "")
	if err != nil {
		return err
	}
	_, err = a.Out.Write(b)
	return err
}

func encode(value any, indent string) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", indent)
	if err := e.Encode(value); err != nil {
		return nil, fmt.Errorf("the output as JSON: %w", err)
	}
	return inert(b.Bytes()), nil
}

// inert escapes the characters in the strings of JSON that would control a terminal or turn
// the direction of the text, and that encoding/json leaves as they are.
func inert(text []byte) []byte {
	if !bytes.ContainsFunc(text, controls) {
		return text
	}
	var b bytes.Buffer
	for _, r := range string(text) {
		if !controls(r) {
			b.WriteRune(r)
			continue
		}
		for _, unit := range utf16.Encode([]rune{r}) {
			fmt.Fprintf(&b, `\u%04x`, unit)
		}
	}
	return b.Bytes()
}

// Printf writes text to standard output.
func (a *App) Printf(format string, args ...any) error {
	_, err := fmt.Fprintf(a.Out, format, args...)
	return err
}

// NoteJSON writes a value as one line of JSON to standard error.
func (a *App) NoteJSON(value any) error {
	b, err := encode(value, "")
	if err != nil {
		return err
	}
	_, err = a.Err.Write(b)
	return err
}

// Notef writes a line for a person to standard error.
func (a *App) Notef(format string, args ...any) {
	_, _ = io.WriteString(a.Err, strings.TrimSuffix(fmt.Sprintf(format, args...), "\n")+"\n")
}
