//go:build linux

package roles

import "time"

// SleeperOrder says how often to wake up.
type SleeperOrder struct {
	Interval time.Duration
}

// runSleeper wakes up and does nothing, until the parent goes away: what a timer
// alone costs on this machine.
func runSleeper(o SleeperOrder) error {
	gone := make(chan struct{})
	go func() { awaitParent(nil); close(gone) }()
	sayReady()
	ticker := time.NewTicker(o.Interval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-gone:
			return nil
		}
	}
}
