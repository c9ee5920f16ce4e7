package collect

import (
	"context"
	"time"

	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/interest"
)

// pace is how often something is read: the times between the beginnings of two rounds.
type pace struct {
	topic          interest.Topic
	looked, unseen time.Duration // while somebody looks at the topic, and while nobody does
	// share is the greatest part of the time that reading may take: one of so many.
	share int
}

// quarter is the share of what NATS has to work for.
const quarter = 4

// wait waits for the next round after one that began then and ends now. It ends early when
// somebody begins to look at the topic. It returns false if ctx has ended.
func (p pace) wait(ctx context.Context, i *interest.Interest, began time.Time) bool {
	woken := p.woken(i) // first, so that nobody begins to look unnoticed
	return sleep(ctx, p.pause(i.Looked(p.topic), time.Since(began)), woken)
}

// pause returns how long to wait after a round that took so long. A round that takes long
// is followed by a longer pause.
func (p pace) pause(looked bool, took time.Duration) time.Duration {
	every := p.unseen
	if looked {
		every = p.looked
	}
	return max(every, time.Duration(p.share)*took) - took
}

// woken returns a channel that is closed when somebody begins to look; nil if somebody does
// already.
func (p pace) woken(i *interest.Interest) <-chan struct{} {
	woken := i.Woken(p.topic)
	if i.Looked(p.topic) {
		return nil
	}
	return woken
}

// sleep returns true after a pause, or when the channel is closed, and false when ctx has
// ended.
func sleep(ctx context.Context, d time.Duration, woken <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-woken:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}
