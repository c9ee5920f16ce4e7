package bench_test

import (
	"context"

	echov1 "github.com/aegisrpc/aegis/examples/echo/gen/echo/v1"
)

type echo struct{}

func (echo) Echo(_ context.Context, req *echov1.EchoRequest) (*echov1.EchoResponse, error) {
	return &echov1.EchoResponse{Text: req.GetText()}, nil
}
