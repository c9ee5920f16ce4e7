package aegis

import (
	"errors"
	"fmt"
	"runtime/debug"
)

// guarded runs the handler of an event or a command, and then calls done with the
// handler's error. A handler that panics or ends its goroutine (runtime.Goexit) has
// an error too, so that done is called in any case.
func (s *Server) guarded(name string, done func(error), handle func() error) {
	err := errAbnormal
	defer func() {
		if err == errAbnormal { //nolint:errorlint // nobody else has it
			err = s.abnormalEnd(name, recover())
		}
		done(err)
	}()
	err = handle()
}

// errAbnormal stands for the outcome of a handler until the handler returns.
var errAbnormal = errors.New("the handler did not return")

// abnormalEnd logs that a handler did not return, and returns the error for that.
func (s *Server) abnormalEnd(name string, panicked any) error {
	if panicked == nil {
		s.logger.Error("aegis: a handler ended its goroutine (runtime.Goexit)", "method", name)
		return Errorf(CodeInternal, "the handler of %s ended without a result", name)
	}
	s.logger.Error("aegis: a handler panicked", "method", name, "panic", fmt.Sprint(panicked), "stack", string(debug.Stack()))
	return Errorf(CodeInternal, "the handler of %s panicked", name)
}
