package devstate

import (
	"context"
	"os"
	"os/signal"
)

// PassStartAgain passes on what StartAgain of other processes asks for, to each of these
// channels that has room. It has begun to listen when it returns; the returned function
// passes on until ctx ends.
func PassStartAgain(ctx context.Context, to []chan struct{}) (pass func()) {
	asked := make(chan os.Signal, 1)
	notifyStartAgain(asked)
	return func() {
		defer signal.Stop(asked)
		for {
			select {
			case <-ctx.Done():
				return
			case <-asked:
			}
			for _, again := range to {
				select {
				case again <- struct{}{}:
				default:
				}
			}
		}
	}
}
