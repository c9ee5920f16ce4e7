package aegis

import (
	"errors"

	"github.com/aegisrpc/aegis/runtime/internal/handling"
)

// guarded runs the handler of an event or a command, and then calls done with the
// handler's error. A handler that panics or ends its goroutine (runtime.Goexit) has
// an error too, so that done is called in any case.
func (s *Server) guarded(name string, done func(error), handle func() error) {
	err := errAbnormal
	defer func() {
		if err == errAbnormal { //nolint:errorlint // nobody else has it
			err = outward(handling.Abnormal(s.logger, name, recover()))
		}
		done(err)
	}()
	err = handle()
}

// errAbnormal stands for the outcome of a handler until the handler returns.
var errAbnormal = errors.New("the handler did not return")
