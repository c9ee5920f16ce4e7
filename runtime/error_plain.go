package aegis

import "context"

// ctxError returns the error of a context that has ended, and nil of any other.
func ctxError(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return asError(err)
	}
	return nil
}

// errorOrNil is asError for an error that may be nil.
func errorOrNil(err error) *Error {
	if err == nil {
		return nil
	}
	return asError(err)
}

// errorOrNone makes an error of an *Error. A nil *Error becomes a nil error: assigned
// directly it would be an error that is not nil.
func errorOrNone(err *Error) error {
	if err == nil {
		return nil
	}
	return err
}
