package aegis

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func newHandlerContext(timeout time.Duration) (*handlerContext, context.CancelFunc) {
	base, cancel := context.WithCancel(context.Background())
	return &handlerContext{base: base, deadline: time.Now().Add(timeout)}, cancel
}

func TestHandlerContextMakesNothingUntilAsked(t *testing.T) {
	t.Parallel()
	c, cancel := newHandlerContext(time.Hour)
	defer cancel()
	require.NoError(t, c.Err())
	require.Same(t, &c.call, c.Value(currentKey{}))
	require.Nil(t, c.Value("nothing"))
	require.Nil(t, c.inner, "no timer for a handler that does not look")
	first := c.Done()
	require.NotNil(t, first)
	require.NotNil(t, c.inner)
	require.Equal(t, first, c.Done())
	c.end()
}

func TestHandlerContextEnds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		timeout time.Duration
		end     func(c *handlerContext, cancelBase context.CancelFunc)
		want    error
	}{
		"at its deadline":       {time.Nanosecond, func(*handlerContext, context.CancelFunc) {}, context.DeadlineExceeded},
		"with its handler":      {time.Hour, func(c *handlerContext, _ context.CancelFunc) { c.end() }, context.Canceled},
		"with its server":       {time.Hour, func(_ *handlerContext, cancel context.CancelFunc) { cancel() }, context.Canceled},
		"once, at its deadline": {time.Nanosecond, func(c *handlerContext, cancel context.CancelFunc) { c.end(); cancel() }, nil},
	} {
		for _, lookFirst := range []bool{false, true} {
			ctx, cancel := newHandlerContext(c.timeout)
			if lookFirst {
				_ = ctx.Done()
			}
			c.end(ctx, cancel)
			require.Eventually(t, func() bool { return ctx.Err() != nil }, 5*time.Second, time.Millisecond, name)
			if c.want != nil {
				require.ErrorIs(t, ctx.Err(), c.want, name)
			}
			select {
			case <-ctx.Done():
			case <-time.After(5 * time.Second):
				t.Fatalf("%s: Done stays open", name)
			}
			cancel()
		}
	}
}

// What package context promises: once an error, always the same.
func TestHandlerContextKeepsItsError(t *testing.T) {
	t.Parallel()
	c, cancel := newHandlerContext(time.Nanosecond)
	require.Eventually(t, func() bool { return c.Err() != nil }, 5*time.Second, time.Millisecond)
	want := c.Err()
	c.end()
	cancel()
	require.Equal(t, want, c.Err())
	<-c.Done()
	require.Equal(t, want, c.Err())

	c, cancel = newHandlerContext(20 * time.Millisecond)
	defer cancel()
	c.end()
	require.Equal(t, context.Canceled, c.Err())
	<-time.After(30 * time.Millisecond) // the deadline passes
	require.Equal(t, context.Canceled, c.Err())
}
