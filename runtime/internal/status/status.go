// Package status is the failure of a call, a stream, an event or a command as the machines
// of the runtime know it: a code and a reason, a text for a person, and whether a handler
// may have run. A Status is no Go error, so that none leaves the runtime by accident: the
// public package makes an *aegis.Error of it.
package status

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"google.golang.org/protobuf/types/known/anypb"
)

// Status is a failure; nil is success. It is not changed once it was handed on.
type Status struct {
	Code    Code
	Reason  string // a Reason of this package or of package wire; "" where a handler has failed
	Message string
	Details []*anypb.Any
	Cause   error // the Go error that the status wraps; it does not travel

	// FromServer: a server has sent the status; else this side has concluded it.
	FromServer bool
	// NotRun: it is certain that no handler has run. The zero value claims nothing. Code
	// that knows sets it: code that fails before anything is sent, and code that reads
	// that a server has refused a request.
	NotRun bool
	// Refusal: an interceptor has refused the call. It does not travel; the reason does.
	Refusal bool
}

// New returns a status. A code that is not one of the sixteen counts as Unknown.
func New(code Code, message string) *Status {
	if !code.Known() {
		code = Unknown
	}
	return &Status{Code: code, Message: message}
}

// Newf is New with a message from fmt.Errorf. The error that %w wraps is the cause.
func Newf(code Code, format string, args ...any) *Status {
	err := fmt.Errorf(format, args...)
	s := New(code, err.Error())
	switch err.(type) { //nolint:errorlint // does it wrap anything?
	case interface{ Unwrap() error }, interface{ Unwrap() []error }:
		s.Cause = err
	}
	return s
}

// Refusal is Newf for a status of the runtime itself, with a reason.
func Refusal(code Code, reason, format string, args ...any) *Status {
	s := Newf(code, format, args...)
	s.Reason = reason
	return s
}

// Because returns a status with a cause whose text is not in the message.
func Because(cause error, code Code, message string) *Status {
	return &Status{Code: code, Message: message, Cause: cause}
}

// Of returns the status of a Go error that is no error of Aegis.
func Of(err error) *Status {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return Because(err, DeadlineExceeded, err.Error())
	case errors.Is(err, context.Canceled):
		return Because(err, Canceled, err.Error())
	default:
		return Because(err, Unknown, err.Error())
	}
}

// Text returns the code, the reason if there is one, and the message.
func (s *Status) Text() string {
	if s.Reason != "" {
		return s.Code.String() + " (" + s.Reason + "): " + s.Message
	}
	return s.Code.String() + ": " + s.Message
}

// WithNotRun returns s, or a copy, that says whether it is certain that no handler
// has run.
func (s *Status) WithNotRun(certain bool) *Status {
	if s.NotRun == certain {
		return s
	}
	c := *s
	c.NotRun = certain
	return &c
}

// The reasons that a client concludes; the reasons that a server sends are in package
// wire.
const (
	ReasonNoResponders   = "NO_RESPONDERS"
	ReasonInstanceLost   = "INSTANCE_LOST"
	ReasonConnectionLost = "CONNECTION_LOST"
)

// Quote is strconv.Quote of at most 64 bytes, for the text of an error: what comes from
// the wire may be long.
func Quote(s string) string {
	const most = 64
	if len(s) > most {
		return strconv.Quote(s[:most]) + "..."
	}
	return strconv.Quote(s)
}
