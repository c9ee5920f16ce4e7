package aegislog

import (
	"errors"
	"log/slog"

	aegis "github.com/aegisrpc/aegis/runtime"
)

// Levels decides how a line is logged, by the side and the code; the code is 0 if there is no
// error. It must be safe for concurrent use.
type Levels func(side aegis.Side, code aegis.Code) slog.Level

// DefaultLevels logs as go-grpc-middleware does. At a server, a subscriber and a worker a
// fault of the program is an error, one of the surroundings or of a limit a warning, and all
// else, which may be the caller's own fault, information. A client and a publisher log one
// level lower, as their program has the error in its hands.
func DefaultLevels(side aegis.Side, code aegis.Code) slog.Level {
	level := handlerLevel(code)
	if side == aegis.SideClient || side == aegis.SidePublisher {
		level -= slog.LevelWarn - slog.LevelInfo
	}
	return level
}

func handlerLevel(code aegis.Code) slog.Level {
	switch code {
	case aegis.CodeUnknown, aegis.CodeInternal, aegis.CodeDataLoss, aegis.CodeUnimplemented:
		return slog.LevelError
	case aegis.CodeDeadlineExceeded, aegis.CodePermissionDenied, aegis.CodeResourceExhausted,
		aegis.CodeFailedPrecondition, aegis.CodeAborted, aegis.CodeOutOfRange, aegis.CodeUnavailable:
		return slog.LevelWarn
	case aegis.CodeCanceled, aegis.CodeInvalidArgument, aegis.CodeNotFound, aegis.CodeAlreadyExists, aegis.CodeUnauthenticated:
		return slog.LevelInfo
	default: // no error
		return slog.LevelInfo
	}
}

// Option is an option of New.
type Option interface{ apply(i *Interceptor) error }

type option func(*Interceptor) error

func (o option) apply(i *Interceptor) error { return o(i) }

// WithLevels sets the levels. Default: DefaultLevels. Nil is an error of New.
func WithLevels(levels Levels) Option {
	return option(func(i *Interceptor) error {
		if levels == nil {
			return errors.New("aegislog: the levels are nil")
		}
		i.levels = levels
		return nil
	})
}
