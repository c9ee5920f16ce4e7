package aegistest_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/durationpb"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

func TestAFakeCommandHasItsReportsAndItsEnd(t *testing.T) {
	t.Parallel()
	reports := []aegis.Progress{{Percent: 10}, {Percent: 90, Message: "nearly"}}
	cmd := aegistest.NewCommand(&testv1.WorkResponse{Text: "done"}, nil, reports...)
	var seen []aegis.Progress
	for p, err := range cmd.Progress(t.Context()) {
		require.NoError(t, err)
		seen = append(seen, *p)
	}
	assert.Equal(t, reports, seen)
	res, err := cmd.Result(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "done", res.GetText())
	s, err := cmd.Status(t.Context())
	require.NoError(t, err)
	assert.Equal(t, aegis.CommandSucceeded, s.State)
	assert.Equal(t, aegis.CodeFailedPrecondition, aegis.CodeOf(cmd.Cancel(t.Context())))
	assert.Equal(t, "test.1", cmd.ID())

	failed := aegistest.NewCommand[testv1.WorkResponse](nil, aegis.NewError(aegis.CodeNotFound, "no such book"))
	_, err = failed.Result(t.Context())
	require.EqualError(t, err, "NOT_FOUND: no such book")
	assert.True(t, aegis.IsWireError(err))
	s, err = failed.Status(t.Context())
	require.NoError(t, err)
	assert.Equal(t, aegis.CommandFailed, s.State)

	endless := aegistest.NewCommand[testv1.WorkResponse](nil, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = endless.Result(ctx)
	assert.Equal(t, aegis.CodeCanceled, aegis.CodeOf(err))
	assert.False(t, aegis.IsWireError(err))
	s, err = endless.Status(t.Context())
	require.NoError(t, err)
	assert.Equal(t, aegis.CommandRunning, s.State)
	require.NoError(t, endless.Cancel(t.Context()))
}

func TestAFakeFutureHasItsOutcome(t *testing.T) {
	t.Parallel()
	ack, err := aegistest.NewFuture(&aegis.PubAck{Stream: "s", Sequence: 7}, nil).Ack(t.Context())
	require.NoError(t, err)
	assert.Equal(t, aegis.PubAck{Stream: "s", Sequence: 7}, *ack)
	lost := aegistest.NewFuture(nil, aegistest.NewUnknownOutcome(""))
	<-lost.Done()
	_, err = lost.Ack(t.Context())
	assert.Equal(t, aegis.CodeDeadlineExceeded, aegis.CodeOf(err))
	assert.True(t, aegis.MayHaveRun(err))
}

func TestAFakeReceiverEndsAsATestSays(t *testing.T) {
	t.Parallel()
	var in aegis.Receiver[testv1.CountResponse] = aegistest.NewReceiver(&testv1.CountResponse{Number: 1}, &testv1.CountResponse{Number: 2})
	var numbers []uint64
	for m, err := range in.All() {
		require.NoError(t, err)
		numbers = append(numbers, m.GetNumber())
	}
	assert.Equal(t, []uint64{1, 2}, numbers)
	_, err := in.Recv()
	require.ErrorIs(t, err, io.EOF)

	failing := aegistest.NewReceiver[testv1.CountResponse]()
	failing.Err = aegistest.NewWireError(aegis.CodeDataLoss, "a gap")
	for _, err := range failing.All() {
		require.EqualError(t, err, "DATA_LOSS: a gap")
		numbers = nil
	}
	assert.Nil(t, numbers, "the error is the last element")
	require.NoError(t, failing.Close())
	assert.True(t, failing.Closed())
	_, err = failing.Recv()
	assert.Equal(t, aegis.CodeCanceled, aegis.CodeOf(err))
}

func TestAFakeSenderKeepsCopiesUntilItFails(t *testing.T) {
	t.Parallel()
	out := aegistest.NewSender[testv1.CountResponse]()
	out.Err, out.Room = errors.New("gone"), 3
	require.Error(t, streams{gone: make(chan error, 1)}.Count(t.Context(), &testv1.CountRequest{}, out))
	require.Len(t, out.Sent(), 3)
	assert.Equal(t, uint64(3), out.Sent()[2].GetNumber())
	assert.Equal(t, "1", out.Header().Get("first"))
	assert.Equal(t, "2", out.Trailer().Get("last"))

	var up aegis.UploadStream[testv1.SumRequest, testv1.SumResponse] = aegistest.NewUploadStream[testv1.SumRequest](&testv1.SumResponse{Sum: 3}, nil)
	require.NoError(t, up.Send(&testv1.SumRequest{Number: 3}))
	res, err := up.CloseAndRecv()
	require.NoError(t, err)
	assert.Equal(t, uint64(3), res.GetSum())

	chat := aegistest.NewBidiStream[testv1.ChatRequest](&testv1.ChatResponse{Text: "hello"})
	require.NoError(t, chat.Send(&testv1.ChatRequest{Text: "hi"}))
	answer, err := chat.Recv()
	require.NoError(t, err)
	assert.Equal(t, "hello", answer.GetText())
	require.NoError(t, chat.CloseSend())
	assert.Equal(t, "hi", chat.Sent()[0].GetText())

	replies, err := aegis.CollectReplies(aegistest.NewBroadcast(aegis.Reply[testv1.TellResponse]{Instance: "a", Msg: &testv1.TellResponse{}}))
	require.NoError(t, err)
	assert.Len(t, replies, 1)
}

func TestFakeErrorsAreKnownForWhatTheyAre(t *testing.T) {
	t.Parallel()
	wire := aegistest.NewWireError(aegis.CodeAborted, "again", durationpb.New(time.Second))
	assert.True(t, aegis.IsWireError(wire))
	assert.True(t, aegis.MayHaveRun(wire))
	assert.Len(t, wire.Details(), 1)
	require.ErrorIs(t, aegistest.NewRefusal(aegis.ReasonNoResponders), aegis.ErrNoResponders)
	require.ErrorIs(t, aegistest.NewRefusal(aegis.ReasonNotActive), aegis.ErrNotActive)
	for _, reason := range []string{aegis.ReasonNoResponders, aegis.ReasonOverloaded, aegis.ReasonStopping, aegis.ReasonStale, aegis.ReasonNoMethod, aegis.ReasonNotActive} {
		err := aegistest.NewRefusal(reason)
		assert.False(t, aegis.MayHaveRun(err), reason)
		assert.Equal(t, reason, err.Reason())
	}
	for _, reason := range []string{"", aegis.ReasonInstanceLost, aegis.ReasonConnectionLost, aegis.ReasonLeadershipLost} {
		assert.True(t, aegis.MayHaveRun(aegistest.NewUnknownOutcome(reason)), reason)
	}
}

func TestContextsOfHandlers(t *testing.T) {
	t.Parallel()
	term := aegis.Term{Service: "s", Group: "g", Token: 7}
	ctx := aegistest.WithTerm(t.Context(), term)
	ctx = aegistest.WithDelivery(ctx, aegis.Delivery{Sequence: 3, Attempt: 2})
	ctx, reports := aegistest.WithJob(ctx, "id", 2)
	method := testv1.File_aegistest_v1_testing_proto.Services().ByName("ProbeService").Methods().ByName("Get")
	ctx, call := aegistest.WithCall(ctx, aegistest.CallConfig{Method: method, Instance: "i", Header: aegis.Header{"a": {"b"}}})

	got, ok := aegis.TermFromContext(ctx)
	assert.True(t, ok)
	assert.Equal(t, term, got)
	d, ok := aegis.DeliveryFromContext(ctx)
	assert.True(t, ok)
	assert.Equal(t, 2, d.Attempt)
	job, ok := aegis.JobFromContext(ctx)
	require.True(t, ok)
	assert.Equal(t, "id", job.ID)
	require.NoError(t, job.Report(ctx, aegis.Progress{Percent: 5}))
	require.Error(t, job.Report(ctx, aegis.Progress{Percent: 500}))
	assert.Equal(t, []aegis.Progress{{Percent: 5}}, reports.List())
	c, ok := aegis.CallFromContext(ctx)
	require.True(t, ok)
	assert.Equal(t, "aegistest.v1.ProbeService.Get", c.Method().FullName())
	assert.True(t, c.Method().Idempotent)
	assert.Equal(t, "i", c.Instance())
	assert.Equal(t, 1, c.Attempt())
	assert.Equal(t, "b", c.RequestHeader().Get("A"))
	c.ResponseHeader().Set("x", "y")
	assert.Equal(t, "y", call.ResponseHeader().Get("x"))

	_, ok = aegis.CallFromContext(aegistest.WithTerm(t.Context(), term))
	assert.False(t, ok)
	_, ok = aegis.JobFromContext(aegistest.WithTerm(t.Context(), term))
	assert.False(t, ok)
}
