package roles

import (
	"context"
	"fmt"

	"github.com/aegisrpc/aegis/internal/bench/child"
	benchv1 "github.com/aegisrpc/aegis/internal/bench/gen/bench/v1"
	"github.com/aegisrpc/aegis/internal/bench/gen/bench/v1/benchv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// A large message has largeParts times as many bytes as one of nats.go, partBytes,
// which is just below the limit of NATS.
const (
	LargeParts = 64
	PartBytes  = Megabyte
)

type largeServer struct {
	benchv1aegis.UnimplementedLargeServiceServer
	data []byte // what replies are cut from
}

func (s largeServer) Carry(_ context.Context, req *benchv1.CarryRequest) (*benchv1.CarryResponse, error) {
	if req.GetBytes() > uint64(len(s.data)) {
		return nil, aegis.Errorf(aegis.CodeInvalidArgument, "%d bytes are asked for, and there are %d", req.GetBytes(), len(s.data))
	}
	return &benchv1.CarryResponse{Data: s.data[:req.GetBytes()], Bytes: uint64(len(req.GetData()))}, nil
}

func startLargeService(url string) (map[string]child.Op, func(), error) {
	return startAegisServer(url, func(srv *aegis.Server) error {
		return benchv1aegis.RegisterLargeServiceServer(srv, largeServer{data: make([]byte, LargeParts*PartBytes)})
	})
}

func startLargeClient(url string) (map[string]child.Op, func(), error) {
	conn, err := connect(url)
	if err != nil {
		return nil, nil, err
	}
	client, err := benchv1aegis.NewLargeServiceClient(conn, interceptors())
	if err != nil {
		return nil, nil, err
	}
	data := make([]byte, LargeParts*PartBytes)
	carry := func(o child.Flow, sent, wanted int) (*child.FlowResult, error) {
		return child.MeasureFlow(o, func() error {
			res, err := client.Carry(context.Background(), &benchv1.CarryRequest{Data: data[:sent], Bytes: uint64(wanted)})
			if err == nil && (len(res.GetData()) != wanted || res.GetBytes() != uint64(sent)) {
				err = fmt.Errorf("%d of %d bytes arrived, and %d of %d came back", res.GetBytes(), sent, len(res.GetData()), wanted)
			}
			return err
		})
	}
	return map[string]child.Op{
		OpReply:   child.Typed(func(o child.Flow) (*child.FlowResult, error) { return carry(o, 0, o.Bytes*int(o.Messages)) }),
		OpRequest: child.Typed(func(o child.Flow) (*child.FlowResult, error) { return carry(o, o.Bytes*int(o.Messages), 0) }),
	}, closing(conn), nil
}
