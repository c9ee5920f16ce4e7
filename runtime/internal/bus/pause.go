package bus

import (
	"context"
	"math/rand/v2"
	"time"
)

// FirstPause is the pause before the second try of a message that nobody has received.
const FirstPause = 10 * time.Millisecond

const longestPause = time.Second

// Pause returns the pause after a number of tries of a message that nobody has received:
// about 10 ms, 40 ms, and so on up to a second.
func Pause(tries int) time.Duration {
	return Jitter(min(FirstPause<<(2*min(tries-1, 8)), longestPause))
}

// Jitter varies a pause by a fifth to either side, so that callers that have failed
// together do not come again together.
func Jitter(d time.Duration) time.Duration {
	return d - d/5 + rand.N(2*d/5+1)
}

// Sleep pauses, and reports whether it could: it returns false at once if the deadline
// comes before the end of the pause, and when ctx ends.
func Sleep(ctx context.Context, d time.Duration, deadline time.Time) bool {
	return time.Until(deadline) > d && Wait(ctx, d)
}

// Wait pauses, and reports whether ctx has not ended meanwhile.
func Wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
