package roles

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	echov1 "github.com/aegisrpc/aegis/examples/echo/gen/echo/v1"
	"github.com/aegisrpc/aegis/internal/bench/child"
	benchv1 "github.com/aegisrpc/aegis/internal/bench/gen/bench/v1"
	"github.com/aegisrpc/aegis/internal/bench/gen/bench/v1/benchv1aegis"
	"github.com/aegisrpc/aegis/internal/bench/load"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// textOf returns a text with which a message has the size that was asked for.
func textOf(o child.Flow) string { return load.Padded("")[:o.Bytes-6] }

type streamServer struct {
	benchv1aegis.UnimplementedStreamServiceServer
}

func (streamServer) Pull(_ context.Context, req *benchv1.PullRequest, out aegis.Sender[benchv1.PullResponse]) error {
	res := &benchv1.PullResponse{Text: req.GetText()}
	for n := range req.GetMessages() {
		res.Number = n + 1
		if err := out.Send(res); err != nil {
			return err
		}
	}
	return nil
}

func (streamServer) Push(_ context.Context, in aegis.Receiver[benchv1.PushRequest]) (*benchv1.PushResponse, error) {
	res := &benchv1.PushResponse{}
	for req, err := range in.All() {
		if err != nil {
			return nil, err
		}
		if res.Messages++; res.GetMessages() != req.GetNumber() {
			return nil, aegis.Errorf(aegis.CodeDataLoss, "message %d has number %d", res.GetMessages(), req.GetNumber())
		}
	}
	return res, nil
}

func (streamServer) Chat(_ context.Context, in aegis.Receiver[benchv1.ChatRequest], out aegis.Sender[benchv1.ChatResponse]) error {
	for req, err := range in.All() {
		if err != nil {
			return err
		}
		if err := out.Send(&benchv1.ChatResponse{Text: req.GetText()}); err != nil {
			return err
		}
	}
	return nil
}

func (streamServer) Ask(_ context.Context, req *benchv1.AskRequest) (*benchv1.AskResponse, error) {
	return &benchv1.AskResponse{Text: req.GetText()}, nil
}

func startStreamService(url string) (map[string]child.Op, func(), error) {
	ops, stop, err := startAegisServer(url, func(srv *aegis.Server) error {
		return benchv1aegis.RegisterStreamServiceServer(srv, streamServer{})
	})
	if err != nil {
		return nil, nil, err
	}
	return costOps(ops), stop, nil
}

func startStreamClient(url string) (map[string]child.Op, func(), error) {
	conn, err := connect(url)
	if err != nil {
		return nil, nil, err
	}
	client, err := benchv1aegis.NewStreamServiceClient(conn, interceptors())
	if err != nil {
		return nil, nil, err
	}
	call := func(ctx context.Context, req *echov1.EchoRequest) (*echov1.EchoResponse, error) {
		res, err := client.Ask(ctx, &benchv1.AskRequest{Text: req.GetText()})
		return &echov1.EchoResponse{Text: res.GetText()}, err
	}
	ops := loadOp(call)
	ops[OpPull] = flowOp(func(o child.Flow) error { return pull(client, o) })
	ops[OpPush] = flowOp(func(o child.Flow) error { return push(client, o) })
	ops[OpChat] = child.Typed(func(o load.Order) (*load.Result, error) { return runChat(client, o) })
	ops[OpIdle] = child.Typed(func(n int) (int, error) { return openIdle(client, n) })
	ops[OpSlow] = child.Typed(func(d time.Duration) (SlowResult, error) { return readSlowly(client, d) })
	return costOps(ops), closing(conn), nil
}

func pull(client benchv1aegis.StreamServiceClient, o child.Flow) error {
	in, err := client.Pull(context.Background(), &benchv1.PullRequest{Messages: o.Messages, Text: textOf(o)})
	if err != nil {
		return err
	}
	n := uint64(0)
	for res, err := range in.All() {
		if err != nil {
			return err
		}
		if n++; res.GetNumber() != n {
			return fmt.Errorf("message %d has number %d", n, res.GetNumber())
		}
	}
	if n != o.Messages {
		return fmt.Errorf("%d of %d messages came", n, o.Messages)
	}
	return nil
}

func push(client benchv1aegis.StreamServiceClient, o child.Flow) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	out, err := client.Push(ctx)
	if err != nil {
		return err
	}
	req := &benchv1.PushRequest{Text: textOf(o)}
	for n := range o.Messages {
		req.Number = n + 1
		if err := out.Send(req); err != nil && !errors.Is(err, io.EOF) {
			return err
		} else if err != nil {
			break
		}
	}
	res, err := out.CloseAndRecv()
	if err == nil && res.GetMessages() != o.Messages {
		err = fmt.Errorf("%d of %d messages came", res.GetMessages(), o.Messages)
	}
	return err
}

// runChat sends a message and waits for the answer, and again, on a stream for
// each caller.
func runChat(client benchv1aegis.StreamServiceClient, o load.Order) (*load.Result, error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	// As many streams as callers, and whoever calls takes one.
	idle := make(chan aegis.BidiStream[benchv1.ChatRequest, benchv1.ChatResponse], o.Callers)
	for range o.Callers {
		chat, err := client.Chat(ctx)
		if err != nil {
			return nil, err
		}
		idle <- chat
	}
	return load.Run(o, func(_ context.Context, req *echov1.EchoRequest) (*echov1.EchoResponse, error) {
		chat := <-idle
		defer func() { idle <- chat }()
		if err := chat.Send(&benchv1.ChatRequest{Text: req.GetText()}); err != nil {
			return nil, err
		}
		res, err := chat.Recv()
		return &echov1.EchoResponse{Text: res.GetText()}, err
	})
}
