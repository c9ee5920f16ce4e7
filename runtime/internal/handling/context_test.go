package handling

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func newContext(timeout time.Duration) (*Context, context.CancelFunc) {
	base, cancel := context.WithCancel(context.Background())
	return &Context{Base: base, Due: time.Now().Add(timeout)}, cancel
}

func TestContextMakesNothingUntilAsked(t *testing.T) {
	t.Parallel()
	c, cancel := newContext(time.Hour)
	defer cancel()
	require.NoError(t, c.Err())
	require.Nil(t, c.Value("nothing"))
	require.Nil(t, c.inner, "no timer for a handler that does not look")
	first := c.Done()
	require.NotNil(t, first)
	require.NotNil(t, c.inner)
	require.Equal(t, first, c.Done())
	c.End()
}

func TestContextEnds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		timeout time.Duration
		end     func(c *Context, cancelBase context.CancelFunc)
		want    error
	}{
		"at its deadline":       {time.Nanosecond, func(*Context, context.CancelFunc) {}, context.DeadlineExceeded},
		"with its handler":      {time.Hour, func(c *Context, _ context.CancelFunc) { c.End() }, context.Canceled},
		"with its server":       {time.Hour, func(_ *Context, cancel context.CancelFunc) { cancel() }, context.Canceled},
		"once, at its deadline": {time.Nanosecond, func(c *Context, cancel context.CancelFunc) { c.End(); cancel() }, nil},
	} {
		for _, lookFirst := range []bool{false, true} {
			ctx, cancel := newContext(c.timeout)
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
func TestContextKeepsItsError(t *testing.T) {
	t.Parallel()
	c, cancel := newContext(time.Nanosecond)
	require.Eventually(t, func() bool { return c.Err() != nil }, 5*time.Second, time.Millisecond)
	want := c.Err()
	c.End()
	cancel()
	require.Equal(t, want, c.Err())
	<-c.Done()
	require.Equal(t, want, c.Err())

	c, cancel = newContext(20 * time.Millisecond)
	defer cancel()
	c.End()
	require.Equal(t, context.Canceled, c.Err())
	<-time.After(30 * time.Millisecond) // the deadline passes
	require.Equal(t, context.Canceled, c.Err())
}
