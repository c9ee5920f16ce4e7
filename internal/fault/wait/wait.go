// Package wait waits: for a time, or for a condition that has to be looked at.
package wait

import (
	"context"
	"fmt"
	"time"
)

// For returns when the time is over, or when ctx is done.
func For(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// interval is how often Until looks.
const interval = 20 * time.Millisecond

// Until returns when the condition holds. It is an error, which says what was
// waited for, if that takes longer than within.
func Until(ctx context.Context, what string, within time.Duration, holds func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for !holds() {
		For(ctx, interval)
		if ctx.Err() != nil {
			return fmt.Errorf("waited %v for %s: %w", within, what, ctx.Err())
		}
	}
	return nil
}
