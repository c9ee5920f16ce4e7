package handling

import (
	"fmt"
	"log/slog"
	"runtime/debug"

	"github.com/aegisrpc/aegis/runtime/internal/status"
)

// Abnormal logs that the handler of a method did not return, and returns the status
// for its caller; panicked is the value that recover returned. The value and the stack are
// for the log and not for the caller.
func Abnormal(logger *slog.Logger, method string, panicked any) *status.Status {
	if panicked == nil {
		logger.Error("aegis: a handler ended its goroutine (runtime.Goexit)", "method", method)
		return status.Newf(status.Internal, "the handler of %s ended without a result", method)
	}
	logger.Error("aegis: a handler panicked", "method", method, "panic", fmt.Sprint(panicked), "stack", string(debug.Stack()))
	return status.Newf(status.Internal, "the handler of %s panicked", method)
}
