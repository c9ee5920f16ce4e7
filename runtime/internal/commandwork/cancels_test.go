package commandwork

import (
	"context"
	"errors"
	"strconv"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/commandstore"
)

var errTest = errors.New("the command was canceled")

const testID = "k.1"

func (c *Cancels) tell(sequence int, body string) {
	c.told(&nats.Msg{
		Subject: "aegis.told.S." + testID + "." + wire.ResultStop, Data: []byte(body),
		Header: nats.Header{wire.HeaderSequence: {strconv.Itoa(sequence)}},
	})
}

func TestCancelEndsTheHandlerOfItsCommandOnly(t *testing.T) {
	t.Parallel()
	c := NewCancels(&commandstore.Results{}, errTest)
	ctx, end := context.WithCancelCause(t.Context())
	c.Begin(testID, "second", end)
	c.tell(1, "first")
	require.NoError(t, ctx.Err())
	c.tell(2, "second")
	require.ErrorIs(t, context.Cause(ctx), errTest)
	sequence, canceled := c.Of(testID, "second")
	require.True(t, canceled)
	require.EqualValues(t, 2, sequence)
	c.End(testID)

	late, end := context.WithCancelCause(t.Context())
	c.Begin(testID, "second", end) // it was canceled before
	require.ErrorIs(t, context.Cause(late), errTest)
}

func TestCancelThatWasTakenBackIsForgotten(t *testing.T) {
	t.Parallel()
	c := NewCancels(&commandstore.Results{}, errTest)
	c.tell(5, "")
	c.tell(4, wire.StopOver) // of an earlier cancel
	_, canceled := c.Of(testID, "")
	require.True(t, canceled)
	c.tell(6, wire.StopOver)
	_, canceled = c.Of(testID, "")
	require.False(t, canceled)
}

func TestReadingTheCancelsForgetsThoseThatAreNotStored(t *testing.T) {
	t.Parallel()
	c := NewCancels(&commandstore.Results{}, errTest)
	c.tell(5, "")
	c.replace(nil, 4) // the read is older than the cancel
	_, canceled := c.Of(testID, "")
	require.True(t, canceled)
	c.replace(nil, 5)
	_, canceled = c.Of(testID, "")
	require.False(t, canceled)
	c.replace(map[string]cancel{testID: {sequence: 7}}, 7)
	c.tell(6, "another") // it was overtaken
	_, canceled = c.Of(testID, "")
	require.True(t, canceled)
}
