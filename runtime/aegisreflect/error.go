package aegisreflect

import (
	"errors"

	aegis "github.com/aegisrpc/aegis/runtime"
)

// Errors that the errors of this package wrap.
var (
	// ErrUnknownService: no server has the service, and no descriptors of it are stored. The
	// code is CodeNotFound.
	ErrUnknownService = errors.New("unknown service")
	// ErrUnknownMethod: the service has no method of this name. The code is CodeNotFound.
	ErrUnknownMethod = errors.New("unknown method")
	// ErrNoReflection: an instance of the service runs, but none serves descriptors, and none
	// are stored: the servers are of another version, or may not subscribe to the requests.
	// The code is CodeUnimplemented.
	ErrNoReflection = errors.New("no descriptors are served")
	// ErrInvalidDescriptors: descriptors that came from a server, or were stored, do not have
	// the hash that they were named by, do not have the service, or are no valid
	// descriptors. The code is CodeDataLoss.
	ErrInvalidDescriptors = errors.New("invalid descriptors")
	// ErrWrongPattern: the method has another pattern than the operation is for. The code is
	// CodeInvalidArgument.
	ErrWrongPattern = errors.New("wrong pattern")
)

// invalid returns an error about descriptors that cannot be used.
func invalid(service, from string, why error) error {
	return aegis.Errorf(aegis.CodeDataLoss, "%w of %s from %s: %w", ErrInvalidDescriptors, service, from, why)
}
