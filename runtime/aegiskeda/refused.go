package aegiskeda

import (
	"context"
	"fmt"
	"time"

	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/health"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

// heardPause is how often the instances are looked at until all of them have been heard.
const heardPause = 100 * time.Millisecond

// readRefused adds up the calls that the instances of a service refuse as overloaded, by their
// heartbeats.
func (s *Scaler) readRefused(ctx context.Context, service string) (figures, error) {
	for {
		list, err := s.conn.Instances(ctx, service)
		if err != nil {
			return figures{}, err
		}
		rate, silent := refusedBy(list, time.Now())
		if silent == "" {
			return figures{refused: rate}, nil
		}
		if !pause(ctx, heardPause) {
			return figures{}, fmt.Errorf("%w: the instance %s of %s is there, and has not been heard yet", stores.ErrUnavailable, silent, service)
		}
	}
}

// refusedBy returns how many calls instances refuse in a second as overloaded, and the name of
// one that has not been heard; "" for none.
func refusedBy(list []aegis.Instance, now time.Time) (rate float64, silent string) {
	for i := range list {
		one := &list[i]
		if one.Heard.IsZero() {
			silent = one.Name
		}
		report, ok := one.Health()
		if !ok {
			continue // it is of another runtime, and counts nothing
		}
		// An instance that is younger than its window counts since its start.
		covered := min(max(now.Sub(one.Started), time.Second), health.DefaultWindow)
		rate += float64(report.Refused[health.RefusedOverloaded.String()]) / covered.Seconds()
	}
	return rate, silent
}
