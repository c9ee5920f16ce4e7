//go:build !linux

package health

import "time"

// CurrentProcess returns the process that runs this code. On this system its usage is
// unknown.
func CurrentProcess() Process { return unknownProcess{} }

type unknownProcess struct{}

func (unknownProcess) CPUTime() (time.Duration, error) { return 0, ErrUnknown }

func (unknownProcess) Memory() (uint64, error) { return 0, ErrUnknown }
