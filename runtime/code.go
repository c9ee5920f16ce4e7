package aegis

import "github.com/aegisrpc/aegis/runtime/internal/status"

// Code is one of the sixteen canonical error codes of google.rpc.Code. The zero
// Code is no error's.
type Code uint32

// The canonical codes, with the numbers and meanings of google.rpc.Code.
const (
	// CodeCanceled: the caller does not want the answer any more.
	CodeCanceled Code = 1
	// CodeUnknown: an error that carries no code, such as a plain Go error. Its text
	// travels as it is, see Error.
	CodeUnknown Code = 2
	// CodeInvalidArgument: the request is wrong, whatever the state of the system.
	CodeInvalidArgument Code = 3
	// CodeDeadlineExceeded: the deadline passed before there was an answer. The
	// handler may have run all the same.
	CodeDeadlineExceeded Code = 4
	// CodeNotFound: something that was asked for does not exist.
	CodeNotFound Code = 5
	// CodeAlreadyExists: something that was to be made exists.
	CodeAlreadyExists Code = 6
	// CodePermissionDenied: the caller may not do this.
	CodePermissionDenied Code = 7
	// CodeResourceExhausted: a quota, a bound or a size is exceeded.
	CodeResourceExhausted Code = 8
	// CodeFailedPrecondition: the system is not in the state that this needs;
	// trying again does not help until it is.
	CodeFailedPrecondition Code = 9
	// CodeAborted: a conflict; the whole transaction may be tried again.
	CodeAborted Code = 10
	// CodeOutOfRange: past the valid range, which may grow.
	CodeOutOfRange Code = 11
	// CodeUnimplemented: the server does not have this method.
	CodeUnimplemented Code = 12
	// CodeInternal: something that should never happen did.
	CodeInternal Code = 13
	// CodeUnavailable: nobody answers now; trying again may help.
	CodeUnavailable Code = 14
	// CodeDataLoss: data is lost or corrupt for good.
	CodeDataLoss Code = 15
	// CodeUnauthenticated: the caller is not known.
	CodeUnauthenticated Code = 16
)

// String returns the name of the code as google.rpc.Code spells it, such as
// "NOT_FOUND".
func (c Code) String() string { return status.Code(c).String() }
