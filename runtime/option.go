package aegis

import (
	"errors"
	"fmt"
	"log/slog"
)

// ErrInvalidOption is wrapped by the error of a constructor that was given an option
// whose value is out of range.
var ErrInvalidOption = errors.New("aegis: invalid option")

func invalidOption(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalidOption, fmt.Sprintf(format, args...))
}

// refusedOption makes an ErrInvalidOption of an error of a check below the face; nil of nil.
func refusedOption(err error) error {
	if err == nil {
		return nil
	}
	return invalidOption("%s", err)
}

// nilOption returns the error for a nil at index i of a list of options.
func nilOption(i int) error {
	return invalidOption("option %d is nil; leave it out", i+1)
}

// applyOptions applies the options of a list, and returns the first error.
func applyOptions[O comparable](opts []O, apply func(O) error) error {
	var none O
	for i, o := range opts {
		if o == none {
			return nilOption(i)
		}
		if err := apply(o); err != nil {
			return err
		}
	}
	return nil
}

// LoggerOption is the option that WithLogger returns, for connections and servers.
type LoggerOption struct{ logger *slog.Logger }

// WithLogger sets where a connection or a server logs. A nil logger is an invalid option.
// Default: slog.Default() for a connection, the logger of its connection for a server.
func WithLogger(logger *slog.Logger) LoggerOption { return LoggerOption{logger} }

func (o LoggerOption) check() error {
	if o.logger == nil {
		return invalidOption("the logger is nil; use slog.New(slog.DiscardHandler) for silence")
	}
	return nil
}
