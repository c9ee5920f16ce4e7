//go:build !linux

package health

import "time"

// CurrentProcess returns the process that runs this code. Here nothing is known
// of it.
func CurrentProcess() Process { return unknownProcess{} }

type unknownProcess struct{}

func (unknownProcess) CPUTime() (time.Duration, error) { return 0, ErrUnknown }

func (unknownProcess) Memory() (uint64, error) { return 0, ErrUnknown }
