//go:build !unix

package devstate

import (
	"errors"
	"os"
)

// held tells whether the file of a lock is there, as no file is locked here.
func held(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// StartAgain returns an error, as there are no signals here.
func (*State) StartAgain() error { return errors.ErrUnsupported }
