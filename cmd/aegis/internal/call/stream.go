package call

import (
	"context"
	"errors"

	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/methods"
	aegis "github.com/aegisrpc/aegis/runtime"
)

func (c *caller) stream(ctx context.Context, args []string) error {
	req, err := methods.Request(c.app, c.method, args)
	if err != nil {
		return err
	}
	in, err := c.method.Stream(ctx, req, c.opts...)
	if err != nil {
		return err
	}
	return c.printAll(in)
}

// printAll prints the responses of a stream until it ends.
func (c *caller) printAll(in aegis.Receiver[dynamicpb.Message]) error {
	defer func() { _ = in.Close() }() // always nil
	for {
		res, err := in.Recv()
		if ended(err) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := c.printMessage(res); err != nil {
			return err
		}
	}
}

func (c *caller) upload(ctx context.Context, args []string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // gives the stream up if a request cannot be read
	out, err := c.method.Upload(ctx, c.opts...)
	if err != nil {
		return err
	}
	if err := c.sendAll(ctx, args, out.Send); err != nil {
		return err
	}
	res, err := out.CloseAndRecv()
	if err != nil {
		return err
	}
	return c.printResponse(res)
}

func (c *caller) bidi(ctx context.Context, args []string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	both, err := c.method.Bidi(ctx, c.opts...)
	if err != nil {
		return err
	}
	go func() {
		err := c.sendAll(ctx, args, both.Send)
		if err == nil {
			err = both.CloseSend()
		}
		if err != nil {
			cancel(err) // a request cannot be read: the stream ends
		}
	}()
	err = c.printAll(both)
	if why := context.Cause(ctx); err != nil && why != nil && !errors.Is(why, context.Canceled) && !errors.Is(why, context.DeadlineExceeded) {
		return why
	}
	return err
}

// sendAll sends the requests until there are no more, or the server wants no more. The
// standard input may have no end, so ctx ends the waiting for it.
func (c *caller) sendAll(ctx context.Context, args []string, send func(*dynamicpb.Message) error) error {
	failed := make(chan error, 1)
	go func() {
		for req, err := range methods.Requests(c.app, c.method, args) {
			if err == nil {
				err = send(req)
			}
			if ended(err) {
				break // the server has ended the stream, and says why
			}
			if err != nil {
				failed <- err
				return
			}
		}
		failed <- nil
	}()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
