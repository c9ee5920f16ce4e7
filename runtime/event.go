package aegis

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strconv"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/aegisrpc/aegis/internal/spec"
	"github.com/aegisrpc/aegis/runtime/internal/bus"
)

// Permanent marks an error of an event's or a command's handler as one that
// trying again does not help against: the message goes to the dead letters at
// once. It returns nil for nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

type permanentError struct{ err error }

func (e *permanentError) Error() string { return e.err.Error() }
func (e *permanentError) Unwrap() error { return e.err }

// IsPermanent reports whether Permanent has marked err, or an error that it
// wraps.
func IsPermanent(err error) bool {
	var p *permanentError
	return errors.As(err, &p)
}

// onlyMarks reports whether err is e itself but for what Permanent adds.
func onlyMarks(err error, e *Error) bool {
	for {
		p, ok := err.(*permanentError) //nolint:errorlint // layer by layer
		if !ok {
			return err == e //nolint:errorlint // is it the same one?
		}
		err = p.err
	}
}

// EventHandler is one event of a subscriber. Generated code makes them.
type EventHandler struct {
	name    protoreflect.Name
	message func() proto.Message
	handle  UnaryFunc // nil: not subscribed
}

// Delivery is what is known of a durable event besides the event.
type Delivery struct {
	// Sequence is that of the event in its stream: StartSequence(Sequence+1)
	// goes on after it.
	Sequence uint64
	// Time is when it was stored, by the NATS server's clock.
	Time time.Time
	// Attempt is the number of the attempt of this group or instance, from 1 on. No
	// two have the same one, also not one that a stopping instance gave back; so it
	// can be greater than the number of those that count.
	Attempt int
}

type deliveryKey struct{}

// DeliveryFromContext returns what is known of the durable event that a handler
// works on; false for core events.
func DeliveryFromContext(ctx context.Context) (Delivery, bool) {
	d, ok := ctx.Value(deliveryKey{}).(*Delivery)
	if !ok {
		return Delivery{}, false
	}
	return *d, true
}

// eventContext is the context of an event's handler.
type eventContext struct {
	context.Context //nolint:containedctx // it is a context
	call            Call
	delivery        Delivery // its attempt is 0 for core events
}

func (c *eventContext) Value(key any) any {
	switch key.(type) {
	case currentKey:
		return &c.call
	case deliveryKey:
		if c.delivery.Attempt != 0 {
			return &c.delivery
		}
	}
	return c.Context.Value(key)
}

// guarded calls a handler; that it panicked or ended its goroutine is an error,
// and said to done in any case.
func (s *Server) guarded(name string, done func(error), handle func() error) {
	err := errAbnormal
	defer func() {
		if err == errAbnormal { //nolint:errorlint // nobody else has it
			err = s.abnormalEnd(name, recover())
		}
		done(err)
	}()
	err = handle()
}

var errAbnormal = errors.New("the handler did not return")

func (s *Server) abnormalEnd(name string, panicked any) error {
	if panicked == nil {
		s.logger.Error("aegis: a handler ended its goroutine (runtime.Goexit)", "method", name)
		return Errorf(CodeInternal, "the handler of %s ended without a result", name)
	}
	s.logger.Error("aegis: a handler panicked", "method", name, "panic", fmt.Sprint(panicked), "stack", string(debug.Stack()))
	return Errorf(CodeInternal, "the handler of %s panicked", name)
}

// backoffAfter is the pause after an attempt: it doubles from the first to the
// longest.
func backoffAfter(r spec.Retry, attempt int) time.Duration {
	pause := r.InitialBackoff
	for range attempt - 1 {
		if pause *= 2; pause >= r.MaxBackoff {
			break
		}
	}
	return bus.Jitter(min(pause, r.MaxBackoff))
}

func itoa(n int) string { return strconv.Itoa(n) }
