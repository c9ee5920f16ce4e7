//go:build !unix

package chaos

import (
	"errors"
	"fmt"
	"runtime"
)

// supported returns an error on systems without the signals.
func supported() error {
	return fmt.Errorf("aegis chaos needs the signals of Unix, and %s has none of them: run it on Linux or macOS", runtime.GOOS)
}

func (*process) strike(kind) error { return errors.ErrUnsupported }

func (*process) freeze() (thaw func(), err error) { return nil, errors.ErrUnsupported }

func inspect(int) (info, error) { return info{}, errors.ErrUnsupported }
