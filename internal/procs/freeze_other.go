//go:build !unix

package procs

import "errors"

// Freeze returns errors.ErrUnsupported, as there are no such signals here.
func (*Process) Freeze() error { return errors.ErrUnsupported }

// Thaw returns errors.ErrUnsupported, as Freeze does.
func (*Process) Thaw() error { return errors.ErrUnsupported }
