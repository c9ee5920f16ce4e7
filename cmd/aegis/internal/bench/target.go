package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/aegisrpc/aegis/internal/spec"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// target is a method under load, as a generated client would call it. Responses are read into
// empty messages, which keep all fields as bytes: nobody looks at them.
type target struct {
	call func(ctx context.Context, worker int, n int64) error
	// messages counts what a worker receives beyond one response; it is set for each run.
	messages func(worker int, n int64)
	// counted: the calls receive messages that are to be counted.
	counted bool
	// endless: a call may never end by itself.
	endless bool
}

// Call makes a call.
func (t *target) Call(ctx context.Context, worker int, n int64) error { return t.call(ctx, worker, n) }

// aim says how a method is called.
type aim struct {
	conn    *aegis.Conn
	service protoreflect.ServiceDescriptor
	method  *spec.Method
	options []aegis.ClientOption // which instance the calls go to
	await   bool                 // a command ends with its result
	timeout time.Duration        // of a call; 0: the method's own
	header  aegis.Header
}

// newTarget returns the method with requests of a source as a target.
func newTarget[Req any](a *aim, next source[Req]) (*target, error) {
	t := &target{}
	err := open(t, a, next)
	if err != nil {
		return nil, err
	}
	call := t.call
	if len(a.header) > 0 {
		inner := call
		call = func(ctx context.Context, worker int, n int64) error {
			ctx, out := aegis.NewCall(ctx)
			maps.Copy(out.RequestHeader(), a.header)
			return inner(ctx, worker, n)
		}
	}
	if a.timeout > 0 {
		inner := call
		call = func(ctx context.Context, worker int, n int64) error {
			ctx, cancel := context.WithTimeout(ctx, a.timeout)
			defer cancel()
			return inner(ctx, worker, n)
		}
	}
	t.call = call
	return t, nil
}

// open makes the client, or the publisher, that the pattern needs.
func open[Req any](t *target, a *aim, next source[Req]) error {
	name := protoreflect.Name(a.method.Name)
	if a.method.Pattern == spec.Event {
		p, err := aegis.NewPublisher(a.conn, a.service)
		if err != nil {
			return err
		}
		t.call = publish(p, name, a.method.Event.Durable, next)
		return nil
	}
	c, err := aegis.NewClient(a.conn, a.service, a.options...)
	if err != nil {
		return err
	}
	switch {
	case a.method.Desc.IsStreamingClient():
		return fmt.Errorf("%s takes a stream of requests, and bench loads methods with one request", a.method.Desc.FullName())
	case a.method.Desc.IsStreamingServer():
		t.counted, t.endless = true, true
		t.call = t.stream(streamOpener(c, name, next))
	case a.method.Pattern == spec.Broadcast:
		t.counted = true
		t.call = broadcast(t, c, name, next)
	case a.method.Pattern == spec.Command:
		t.endless = a.await
		t.call = send(c, name, a.await, next)
	default:
		t.call = unary(c, name, next)
	}
	return nil
}

func unary[Req any](c *aegis.Client, name protoreflect.Name, next source[Req]) func(context.Context, int, int64) error {
	method := aegis.NewUnaryMethod[Req, emptypb.Empty](c, name)
	return func(ctx context.Context, worker int, n int64) error {
		req, err := next(worker, n)
		if err != nil {
			return err
		}
		_, err = method.Call(ctx, req)
		return err
	}
}

func streamOpener[Req any](c *aegis.Client, name protoreflect.Name, next source[Req]) opener {
	method := aegis.NewServerStreamMethod[Req, emptypb.Empty](c, name)
	return func(ctx context.Context, worker int, n int64) (aegis.Receiver[emptypb.Empty], error) {
		req, err := next(worker, n)
		if err != nil {
			return nil, err
		}
		return method.Open(ctx, req)
	}
}

type opener func(ctx context.Context, worker int, n int64) (aegis.Receiver[emptypb.Empty], error)

// stream reads a stream to its end.
func (t *target) stream(open opener) func(context.Context, int, int64) error {
	return func(ctx context.Context, worker int, n int64) error {
		in, err := open(ctx, worker, n)
		if err != nil {
			return err
		}
		for {
			if _, err := in.Recv(); err != nil {
				if errors.Is(err, io.EOF) {
					return nil
				}
				_ = in.Close() // never fails
				return err
			}
			t.messages(worker, 1)
		}
	}
}

// broadcast waits for the replies of all instances. The error is the first of them.
func broadcast[Req any](t *target, c *aegis.Client, name protoreflect.Name, next source[Req]) func(context.Context, int, int64) error {
	method := aegis.NewBroadcastMethod[Req, emptypb.Empty](c, name)
	return func(ctx context.Context, worker int, n int64) error {
		req, err := next(worker, n)
		if err != nil {
			return err
		}
		for reply := range method.Call(ctx, req) {
			if reply.Err == nil {
				t.messages(worker, 1)
			} else if err == nil {
				err = reply.Err
			}
		}
		return err
	}
}

func publish[E any](p *aegis.Publisher, name protoreflect.Name, durable bool, next source[E]) func(context.Context, int, int64) error {
	if durable {
		event := aegis.NewDurableEvent[E](p, name)
		return func(ctx context.Context, worker int, n int64) error {
			ev, err := next(worker, n)
			if err != nil {
				return err
			}
			_, err = event.Publish(ctx, ev)
			return err
		}
	}
	event := aegis.NewCoreEvent[E](p, name)
	return func(ctx context.Context, worker int, n int64) error {
		ev, err := next(worker, n)
		if err != nil {
			return err
		}
		return event.Publish(ctx, ev)
	}
}

func send[Req any](c *aegis.Client, name protoreflect.Name, await bool, next source[Req]) func(context.Context, int, int64) error {
	method := aegis.NewCommandMethod[Req, emptypb.Empty](c, name)
	return func(ctx context.Context, worker int, n int64) error {
		req, err := next(worker, n)
		if err != nil {
			return err
		}
		command, err := method.Send(ctx, req)
		if err != nil || !await {
			return err
		}
		_, err = command.Result(ctx)
		return err
	}
}

// keyed tells whether the runtime reads a field of the request, which has to be a message
// with fields then.
func keyed(m *spec.Method) bool {
	return m.StickyField != nil || m.Event != nil && m.Event.KeyField != nil
}

// targetOf returns the method as a target, with requests of the cheapest kind that does.
func targetOf(a *aim, d *data, callers int) (*target, error) {
	switch {
	case d.Varies():
		return newTarget(a, d.Request)
	case keyed(a.method):
		return newTarget(a, d.same(callers))
	default:
		next, err := d.marshalled(callers)
		if err != nil {
			return nil, err
		}
		return newTarget(a, next)
	}
}
