package main

import (
	"context"
	"fmt"
	"os"

	"github.com/aegisrpc/aegis/internal/bench/child"
	benchv1 "github.com/aegisrpc/aegis/internal/bench/gen/bench/v1"
	"github.com/aegisrpc/aegis/internal/bench/gen/bench/v1/benchv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// One unary message that is far larger than NATS takes, against as many bytes in
// messages of nats.go.

const (
	opReply   = "reply"   // the large message comes back
	opRequest = "request" // the large message is sent

	largeParts = 64
	partBytes  = megabyte // just below what NATS takes
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
		return benchv1aegis.RegisterLargeServiceServer(srv, largeServer{data: make([]byte, largeParts*partBytes)})
	})
}

func startLargeClient(url string) (map[string]child.Op, func(), error) {
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	conn, err := aegis.Connect(ctx, url)
	if err != nil {
		return nil, nil, err
	}
	client, err := benchv1aegis.NewLargeServiceClient(conn, interceptors())
	if err != nil {
		return nil, nil, err
	}
	data := make([]byte, largeParts*partBytes)
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
		opReply:   child.Typed(func(o child.Flow) (*child.FlowResult, error) { return carry(o, 0, o.Bytes*int(o.Messages)) }),
		opRequest: child.Typed(func(o child.Flow) (*child.FlowResult, error) { return carry(o, o.Bytes*int(o.Messages), 0) }),
	}, func() { _ = conn.Close(context.Background()) }, nil
}

func largeScenario(name, opName string) scenario {
	return scenario{
		name: name,
		about: fmt.Sprintf("A unary %s of %d MB in chunks, against as many messages of 1 MB that nats.go publishes and subscribes\n"+
			"to, without marshalling, checksums or flow control.", opName, largeParts),
		run: func(ctx context.Context, s *settings) (int, error) { return runLarge(ctx, s, opName) },
	}
}

func runLarge(ctx context.Context, s *settings, opName string) (int, error) {
	g := &group{ctx: ctx}
	defer g.stop()
	nats := g.start("nats", "")
	race := flowRace{nats: nats, pair: [2]contender{
		{name: plainName, service: g.start("plain-large", nats.url), client: g.start("plain-taker", nats.url)},
		{name: aegisName, service: g.start("large-service", nats.url), client: g.start("large-client", nats.url)},
	}}
	if g.err != nil {
		return 0, g.err
	}
	flow := child.Flow{Messages: largeParts, Bytes: partBytes}
	race.flows = [2]child.Flow{flow, flow}
	got, err := race.run(s, opName)
	if err != nil {
		return 0, err
	}
	got.print("MB/s")
	v := newVerdicts(os.Stdout, "aegis / plain, median (lowest..highest) of the rounds' ratios")
	v.judge("MB/s", median(got.rate), got.rate.String(), atLeast(0.5))
	return v.done(), nil
}
