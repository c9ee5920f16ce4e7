package load

import (
	"syscall"
	"time"
)

// timerSlack is how late a timer of the Go runtime may be: it waits in whole milliseconds
// when nothing else runs.
const timerSlack = 1500 * time.Microsecond

// sleepExactly keeps the thread, and is some 60 µs late.
func sleepExactly(d time.Duration) {
	ts := syscall.NsecToTimespec(int64(d))
	_ = syscall.Nanosleep(&ts, nil) // a signal ends it early, and the caller sleeps again
}
