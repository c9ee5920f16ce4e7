//go:build !unix

package devstate

import (
	"errors"
	"io"
	"os"
)

type noLock struct{}

func (noLock) Close() error { return nil }

// Lock does nothing: NATS itself refuses files that are open.
func (Place) Lock() (io.Closer, error) { return noLock{}, nil }

// held tells whether the file of a lock is there, as no file is locked here.
func held(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// StartAgain returns an error, as there are no signals here.
func (*State) StartAgain() error { return errors.ErrUnsupported }

// notifyStartAgain does nothing, as there are no signals here.
func notifyStartAgain(chan<- os.Signal) {}
