package roles

import (
	"context"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	echov1 "github.com/aegisrpc/aegis/examples/echo/gen/echo/v1"
	"github.com/aegisrpc/aegis/internal/bench/child"
	"github.com/aegisrpc/aegis/internal/bench/load"
)

// The contender: what a careful team writes by hand with nats.go. The same
// messages, a queue group, a goroutine for each request, and a timeout for each
// call.

const plainSubject = "plain.echo"

func startPlainEcho(url string) (map[string]child.Op, func(), error) {
	nc, err := nats.Connect(url)
	if err != nil {
		return nil, nil, err
	}
	_, err = nc.QueueSubscribe(plainSubject, "plain", func(msg *nats.Msg) {
		go plainEcho(msg)
	})
	if err == nil {
		err = nc.Flush()
	}
	return map[string]child.Op{}, nc.Close, err
}

func plainEcho(msg *nats.Msg) {
	var req echov1.EchoRequest
	if err := proto.Unmarshal(msg.Data, &req); err != nil {
		return // the client counts it as an error
	}
	data, err := proto.Marshal(&echov1.EchoResponse{Text: req.GetText()})
	if err != nil {
		return
	}
	_ = msg.Respond(data) // as above
}

func startPlainClient(url string) (map[string]child.Op, func(), error) {
	nc, err := nats.Connect(url)
	if err != nil {
		return nil, nil, err
	}
	call := func(ctx context.Context, req *echov1.EchoRequest) (*echov1.EchoResponse, error) {
		return plainCall(ctx, nc, req)
	}
	load := func(o load.Order) (*load.Result, error) { return load.Run(o, call) }
	return map[string]child.Op{OpLoad: child.Typed(load)}, nc.Close, nil
}

func plainCall(ctx context.Context, nc *nats.Conn, req *echov1.EchoRequest) (*echov1.EchoResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, load.CallTimeout)
	defer cancel()
	data, err := proto.Marshal(req)
	if err != nil {
		return nil, err
	}
	msg, err := nc.RequestWithContext(ctx, plainSubject, data)
	if err != nil {
		return nil, err
	}
	res := new(echov1.EchoResponse)
	return res, proto.Unmarshal(msg.Data, res)
}
