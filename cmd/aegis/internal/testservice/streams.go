package testservice

import (
	"context"
	"errors"
	"io"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// Streams serves streams of all kinds: it counts, sums and answers.
type Streams struct {
	aegistestv1aegis.UnimplementedStreamServiceServer
}

// Count sends the numbers from 1 on.
func (Streams) Count(_ context.Context, req *testv1.CountRequest, out aegis.Sender[testv1.CountResponse]) error {
	for n := range req.GetNumbers() {
		if err := out.Send(&testv1.CountResponse{Number: n + 1}); err != nil {
			return err
		}
	}
	return nil
}

// Sum adds numbers up.
func (Streams) Sum(_ context.Context, in aegis.Receiver[testv1.SumRequest]) (*testv1.SumResponse, error) {
	res := &testv1.SumResponse{}
	for req, err := range in.All() {
		if err != nil {
			return nil, err
		}
		res.Sum += req.GetNumber()
		res.Numbers++
	}
	return res, nil
}

// Chat answers each message.
func (Streams) Chat(_ context.Context, in aegis.Receiver[testv1.ChatRequest], out aegis.Sender[testv1.ChatResponse]) error {
	for {
		req, err := in.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := out.Send(&testv1.ChatResponse{Text: "you said " + req.GetText()}); err != nil {
			return err
		}
	}
}
