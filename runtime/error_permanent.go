package aegis

import "errors"

// Permanent marks the error of a handler of an event or a command as one that does
// not go away when the handler runs again: the message goes to the dead letters at
// once. Permanent(nil) is nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

// permanentError is the mark of Permanent. Its text is that of the error inside.
type permanentError struct{ err error }

func (e *permanentError) Error() string { return e.err.Error() }

func (e *permanentError) Unwrap() error { return e.err }

// IsPermanent reports whether err, or an error that err wraps, was marked with
// Permanent.
func IsPermanent(err error) bool {
	var p *permanentError
	return errors.As(err, &p)
}

// onlyMarks reports whether err is e itself, inside any number of Permanent's marks.
func onlyMarks(err error, e *Error) bool {
	for {
		p, ok := err.(*permanentError) //nolint:errorlint // layer by layer
		if !ok {
			return err == e //nolint:errorlint // is it the same one?
		}
		err = p.err
	}
}
