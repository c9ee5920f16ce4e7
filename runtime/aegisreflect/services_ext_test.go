package aegisreflect_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/aegisrpc/aegis/examples/order/book"
	orderv1 "github.com/aegisrpc/aegis/examples/order/gen/order/v1"
	"github.com/aegisrpc/aegis/examples/order/gen/order/v1/orderv1aegis"
	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
)

const orderService = orderv1aegis.OrderServiceName

func orderDescriptor() protoreflect.ServiceDescriptor {
	return orderv1.File_order_v1_order_proto.Services().ByName("OrderService")
}

// serveOrders serves the order book.
func serveOrders(t testing.TB, conn *aegis.Conn, opts ...aegis.ServerOption) {
	t.Helper()
	service, err := book.NewService(conn, book.Config{})
	require.NoError(t, err)
	serve(t, conn, func(srv *aegis.Server) error { return orderv1aegis.RegisterOrderServiceServer(srv, service) }, opts...)
}

// probe echoes, and fails with the text "fail".
type probe struct{}

func (probe) Do(ctx context.Context, req *testv1.DoRequest) (*testv1.DoResponse, error) {
	call, _ := aegis.CallFromContext(ctx)
	if req.GetText() == "fail" {
		return nil, aegis.NewError(aegis.CodeNotFound, "no such thing").WithDetails(&testv1.GetRequest{Text: "a detail"})
	}
	if wait := req.GetWait(); wait != nil {
		select {
		case <-time.After(wait.AsDuration()):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	call.ResponseHeader().Set("tenant", "seen "+call.RequestHeader().Get("tenant")+".")
	res := &testv1.DoResponse{Text: req.GetText(), Data: req.GetData()}
	if req.GetText() == "who" {
		res.InstanceName = call.Instance()
	}
	return res, nil
}

func (probe) Get(_ context.Context, req *testv1.GetRequest) (*testv1.GetResponse, error) {
	return &testv1.GetResponse{Text: req.GetText()}, nil
}

func (probe) Quick(_ context.Context, req *testv1.QuickRequest) (*testv1.QuickResponse, error) {
	return &testv1.QuickResponse{Text: req.GetText()}, nil
}

func registerProbe(srv *aegis.Server) error {
	return aegistestv1aegis.RegisterProbeServiceServer(srv, probe{})
}

func serveProbe(t testing.TB, conn *aegis.Conn, opts ...aegis.ServerOption) {
	t.Helper()
	serve(t, conn, registerProbe, opts...)
}

// streams counts, sums and chats.
type streams struct{}

func (streams) Count(_ context.Context, req *testv1.CountRequest, out aegis.Sender[testv1.CountResponse]) error {
	out.Header().Set("head", "h")
	out.Trailer().Set("tail", "t")
	for i := range req.GetNumbers() {
		if err := out.Send(&testv1.CountResponse{Number: i + 1, Data: req.GetData()}); err != nil {
			return err
		}
	}
	if req.GetText() == "fail" {
		return aegis.NewError(aegis.CodeAborted, "enough")
	}
	return nil
}

func (streams) Sum(_ context.Context, in aegis.Receiver[testv1.SumRequest]) (*testv1.SumResponse, error) {
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

func (streams) Chat(_ context.Context, in aegis.Receiver[testv1.ChatRequest], out aegis.Sender[testv1.ChatResponse]) error {
	for {
		req, err := in.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := out.Send(&testv1.ChatResponse{Text: req.GetText(), Data: req.GetData()}); err != nil {
			return err
		}
	}
}

func (s streams) Brief(ctx context.Context, in aegis.Receiver[testv1.ChatRequest], out aegis.Sender[testv1.ChatResponse]) error {
	return s.Chat(ctx, in, out)
}

func registerStreams(srv *aegis.Server) error {
	return aegistestv1aegis.RegisterStreamServiceServer(srv, streams{})
}

// large returns the data that it is sent.
type large struct {
	aegistestv1aegis.UnimplementedLargeServiceServer
}

func (large) Bounce(_ context.Context, req *testv1.LargeRequest) (*testv1.LargeResponse, error) {
	return &testv1.LargeResponse{Data: req.GetData()}, nil
}

// jobs works commands by a function.
type jobs struct {
	aegistestv1aegis.UnimplementedJobServiceServer

	work func(context.Context, *testv1.WorkRequest) (*testv1.WorkResponse, error)
}

func (j jobs) Work(ctx context.Context, req *testv1.WorkRequest) (*testv1.WorkResponse, error) {
	return j.work(ctx, req)
}

func (jobs) Once(context.Context, *testv1.OnceRequest) (*testv1.OnceResponse, error) {
	return nil, aegis.NewError(aegis.CodeFailedPrecondition, "never")
}

func registerJobs(work func(context.Context, *testv1.WorkRequest) (*testv1.WorkResponse, error)) func(*aegis.Server) error {
	return func(srv *aegis.Server) error { return aegistestv1aegis.RegisterJobServiceServer(srv, jobs{work: work}) }
}

func storedEvent(text string) *testv1.StoredRequest { return &testv1.StoredRequest{Text: text} }

// imports returns the files that a file imports, each behind those that it imports itself.
func imports(t testing.TB, file protoreflect.FileDescriptor) []*descriptorpb.FileDescriptorProto {
	t.Helper()
	var list []*descriptorpb.FileDescriptorProto
	seen := map[string]bool{}
	var add func(f protoreflect.FileDescriptor)
	add = func(f protoreflect.FileDescriptor) {
		for i := range f.Imports().Len() {
			in := f.Imports().Get(i)
			if add(in.FileDescriptor); !seen[in.Path()] {
				seen[in.Path()] = true
				list = append(list, protodesc.ToFileDescriptorProto(in.FileDescriptor))
			}
		}
	}
	add(file)
	return list
}
