//go:build !linux

package load

import "time"

// timerSlack is 0 where a timer is as exact as a sleep can be.
const timerSlack = 0

func sleepExactly(d time.Duration) { time.Sleep(d) }
