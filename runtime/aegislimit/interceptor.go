package aegislimit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	aegis "github.com/aegisrpc/aegis/runtime"
)

// Interceptor limits calls. It is safe for concurrent use, and everything that uses the same
// one shares its limits: a client and a server, and two servers in one process.
type Interceptor struct {
	limit     rate.Limit
	burst     int
	perMethod bool
	wait      bool
	key       func(context.Context, *aegis.Call) string // nil: no keys
	mostKeys  int

	buckets *buckets
	side    aegis.Side // of the interceptor of one method; 0 of the one that New returns
}

var _ aegis.MethodInterceptor = (*Interceptor)(nil)

// New returns an interceptor that lets limit calls pass in a second, and up to burst at once
// after a time with fewer. The error is that of an option, or of a limit that is not greater
// than 0 or a burst that is less than 1.
func New(limit rate.Limit, burst int, opts ...Option) (*Interceptor, error) {
	if !(limit > 0) || burst < 1 {
		return nil, fmt.Errorf("aegislimit: a limit of %v with a burst of %d: use a limit greater than 0, and a burst of at least 1", limit, burst)
	}
	i := &Interceptor{limit: limit, burst: burst, mostKeys: 1}
	for _, o := range opts {
		if o == nil {
			return nil, errors.New("aegislimit: an option is nil")
		}
		if err := o.apply(i); err != nil {
			return nil, err
		}
	}
	i.buckets = newBuckets(limit, burst, i.mostKeys)
	return i, nil
}

// ForMethod returns the interceptor of one method. The runtime calls it.
func (i *Interceptor) ForMethod(_ aegis.Method, side aegis.Side) (aegis.Interceptor, error) {
	one := *i
	one.side = side
	if i.perMethod {
		one.buckets = newBuckets(i.limit, i.burst, i.mostKeys)
	}
	return &one, nil
}

// WrapUnary limits unary calls, events and commands. The runtime calls it.
func (i *Interceptor) WrapUnary(next aegis.UnaryFunc) aegis.UnaryFunc {
	return func(ctx context.Context, req proto.Message) (proto.Message, error) {
		if err := i.admit(ctx); err != nil {
			return nil, err
		}
		return next(ctx, req)
	}
}

// WrapClientStream limits streams and broadcasts at their clients. The runtime calls it.
func (i *Interceptor) WrapClientStream(next aegis.ClientStreamFunc) aegis.ClientStreamFunc {
	return func(ctx context.Context) (aegis.AnyStream, error) {
		if err := i.admit(ctx); err != nil {
			return nil, err
		}
		return next(ctx)
	}
}

// WrapServerStream limits streams at their servers. The runtime calls it.
func (i *Interceptor) WrapServerStream(next aegis.ServerStreamFunc) aegis.ServerStreamFunc {
	return func(ctx context.Context, s aegis.AnyStream) error {
		if err := i.admit(ctx); err != nil {
			return err
		}
		return next(ctx, s)
	}
}

// admit takes a token, and returns the error of a call that gets none.
func (i *Interceptor) admit(ctx context.Context) error {
	call, ok := aegis.CallFromContext(ctx)
	if !ok {
		call = &aegis.Call{} // another interceptor has passed on a context of its own
	}
	side := i.side
	if side == 0 {
		side = call.Side()
	}
	now := time.Now()
	key := ""
	if i.key != nil {
		key = i.key(ctx, call)
	}
	taken := i.buckets.of(key, now).ReserveN(now, 1)
	delay := taken.DelayFrom(now)
	if delay == 0 {
		return nil
	}
	if i.wait || side == aegis.SideSubscriber || side == aegis.SideWorker {
		if deadline, ok := ctx.Deadline(); !ok || now.Add(delay).Before(deadline) {
			return sleep(ctx, taken, delay)
		}
	}
	taken.CancelAt(now)
	return i.refusal(side, delay)
}

// sleep waits until a token that was taken in advance is there.
func sleep(ctx context.Context, taken *rate.Reservation, delay time.Duration) error {
	turn := time.NewTimer(delay)
	defer turn.Stop()
	select {
	case <-turn.C:
		return nil
	case <-ctx.Done():
		taken.Cancel()
		return aegis.Errorf(aegis.CodeOf(ctx.Err()), "waiting for the limit: %w", ctx.Err()).AsRefusal(aegis.ReasonRefused)
	}
}

// refusal returns the error of a call for which there is room after a delay.
func (i *Interceptor) refusal(side aegis.Side, delay time.Duration) error {
	reason, whose := aegis.ReasonRefused, "of this caller"
	if i.key == nil {
		whose = "of this process"
		if side == aegis.SideServer {
			reason = aegis.ReasonOverloaded
		}
	}
	return aegis.Errorf(aegis.CodeResourceExhausted, "the limit %s is %v a second; try again in %v", whose, float64(i.limit), delay.Round(time.Millisecond)).
		WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(delay)}).AsRefusal(reason)
}
