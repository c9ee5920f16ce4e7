package methods

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strings"

	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	"github.com/aegisrpc/aegis/runtime/aegisreflect"
)

// The arguments that stand for JSON that is kept elsewhere.
const (
	stdin      = "-"
	filePrefix = "@"
)

// Request returns the one message that the arguments after the method's name give: JSON,
// @FILE, or - for the standard input. Without an argument it is the empty message.
func Request(app *cli.App, m *aegisreflect.Method, args []string) (*dynamicpb.Message, error) {
	if len(args) > 1 {
		return nil, cli.Usagef("%s takes one message, and there are %d", m.FullName(), len(args))
	}
	if len(args) == 0 {
		return m.Request([]byte("{}"))
	}
	text, err := read(app, args[0])
	if err != nil {
		return nil, err
	}
	return m.Request(text)
}

// Text returns the JSON that an argument gives: JSON, @FILE, or - for the standard input.
// Without an argument it is that of the empty message.
func Text(app *cli.App, arg string) (string, error) {
	if arg == "" {
		return "{}", nil
	}
	text, err := read(app, arg)
	return string(text), err
}

func read(app *cli.App, arg string) ([]byte, error) {
	if arg == stdin {
		text, err := io.ReadAll(app.In)
		if err != nil {
			return nil, fmt.Errorf("the standard input: %w", err)
		}
		return text, nil
	}
	if path, isFile := strings.CutPrefix(arg, filePrefix); isFile {
		return os.ReadFile(path) //nolint:gosec // the user's own choice
	}
	return []byte(arg), nil
}

// Requests returns the messages that the arguments after the method's name give, one after
// the other. An argument is JSON, or @FILE or -, which may have any number of JSON values,
// and are read as they come. Without an argument the standard input is read.
func Requests(app *cli.App, m *aegisreflect.Method, args []string) iter.Seq2[*dynamicpb.Message, error] {
	if len(args) == 0 {
		args = []string{stdin}
	}
	return func(yield func(*dynamicpb.Message, error) bool) {
		for _, arg := range args {
			for msg, err := range values(app, m, arg) {
				if !yield(msg, err) || err != nil {
					return
				}
			}
		}
	}
}

func values(app *cli.App, m *aegisreflect.Method, arg string) iter.Seq2[*dynamicpb.Message, error] {
	return func(yield func(*dynamicpb.Message, error) bool) {
		if arg == stdin {
			decode(app.In, "the standard input", m, yield)
			return
		}
		path, isFile := strings.CutPrefix(arg, filePrefix)
		if !isFile {
			yield(m.Request([]byte(arg)))
			return
		}
		f, err := os.Open(path) //nolint:gosec // the user's own choice
		if err != nil {
			yield(nil, err)
			return
		}
		defer func() { _ = f.Close() }() // it is only read
		decode(bufio.NewReader(f), path, m, yield)
	}
}

// decode yields the messages of a stream of JSON values.
func decode(r io.Reader, from string, m *aegisreflect.Method, yield func(*dynamicpb.Message, error) bool) {
	values := json.NewDecoder(r)
	for n := 1; ; n++ {
		var text json.RawMessage
		err := values.Decode(&text)
		if errors.Is(err, io.EOF) {
			return
		}
		var msg *dynamicpb.Message
		if err == nil {
			msg, err = m.Request(text)
		}
		if err != nil {
			yield(nil, fmt.Errorf("message %d of %s: %w", n, from, err))
			return
		}
		if !yield(msg, nil) {
			return
		}
	}
}
