package golden_test

import (
	"context"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	edition2023v1 "github.com/aegisrpc/aegis/internal/codegen/golden/edition2023"
	"github.com/aegisrpc/aegis/internal/codegen/golden/edition2023/edition2023v1aegis"
	edition2024v1 "github.com/aegisrpc/aegis/internal/codegen/golden/edition2024"
	"github.com/aegisrpc/aegis/internal/codegen/golden/edition2024/edition2024v1aegis"
	importedv1 "github.com/aegisrpc/aegis/internal/codegen/golden/imported"
	"github.com/aegisrpc/aegis/internal/codegen/golden/imported/importedv1aegis"
	itemleftv1 "github.com/aegisrpc/aegis/internal/codegen/golden/imported/left/v1"
	itemrightv1 "github.com/aegisrpc/aegis/internal/codegen/golden/imported/right/v1"
	unaryv1 "github.com/aegisrpc/aegis/internal/codegen/golden/unary"
	"github.com/aegisrpc/aegis/internal/codegen/golden/unary/unaryv1aegis"
	"github.com/aegisrpc/aegis/internal/codegen/golden/wellknown/wellknownv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

type wellKnown struct {
	wellknownv1aegis.UnimplementedWellKnownServiceServer
}

func (wellKnown) Nothing(context.Context, *emptypb.Empty) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, nil
}

func (wellKnown) Anything(_ context.Context, req *anypb.Any) (*structpb.Struct, error) {
	return structpb.NewStruct(map[string]any{"url": req.GetTypeUrl()})
}

func TestMessagesOfOtherGoPackages(t *testing.T) {
	t.Parallel()
	conn := aegistest.Connect(t)
	aegistest.Serve(t, conn, func(srv *aegis.Server) error {
		return wellknownv1aegis.RegisterWellKnownServiceServer(srv, wellKnown{})
	})
	client, err := wellknownv1aegis.NewWellKnownServiceClient(conn)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Nothing(t.Context(), &emptypb.Empty{}); err != nil {
		t.Errorf("Empty: %v", err)
	}
	packed, err := anypb.New(wrapperspb.String("x"))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Anything(t.Context(), packed)
	if err != nil || resp.GetFields()["url"].GetStringValue() != "type.googleapis.com/google.protobuf.StringValue" {
		t.Errorf("Any: %v, %v", resp, err)
	}
}

type importing struct {
	importedv1aegis.UnimplementedImportedServiceServer
}

func (importing) Move(_ context.Context, req *itemleftv1.Item) (*itemrightv1.Item, error) {
	return &itemrightv1.Item{Id: req.GetId(), Part: &itemrightv1.Item_Part{Id: req.GetPart().GetId()}}, nil
}

func (importing) MoveNested(_ context.Context, req *itemleftv1.Item_Part) (*importedv1.Outer_Inner_Core, error) {
	return &importedv1.Outer_Inner_Core{Id: req.GetId()}, nil
}

func TestNestedMessagesOfTwoPackagesOfOneName(t *testing.T) {
	t.Parallel()
	conn := aegistest.Connect(t)
	aegistest.Serve(t, conn, func(srv *aegis.Server) error {
		return importedv1aegis.RegisterImportedServiceServer(srv, importing{})
	})
	client, err := importedv1aegis.NewImportedServiceClient(conn)
	if err != nil {
		t.Fatal(err)
	}
	moved, err := client.Move(t.Context(), &itemleftv1.Item{Id: "1", Part: &itemleftv1.Item_Part{Id: "2"}})
	if err != nil || moved.GetId() != "1" || moved.GetPart().GetId() != "2" {
		t.Errorf("Move: %v, %v", moved, err)
	}
	nested, err := client.MoveNested(t.Context(), &itemleftv1.Item_Part{Id: "3"})
	if err != nil || nested.GetId() != "3" {
		t.Errorf("MoveNested: %v, %v", nested, err)
	}
}

type edition2023Server struct{}

func (edition2023Server) Call(_ context.Context, req *edition2023v1.CallRequest) (*edition2023v1.CallResponse, error) {
	return edition2023v1.CallResponse_builder{Id: proto.String(req.GetId())}.Build(), nil
}

type edition2024Server struct{}

func (edition2024Server) Call(_ context.Context, req *edition2024v1.CallRequest) (*edition2024v1.CallResponse, error) {
	return edition2024v1.CallResponse_builder{Id: proto.String(req.GetId())}.Build(), nil
}

func TestOpaqueMessagesOfEditions(t *testing.T) {
	t.Parallel()
	conn := aegistest.Connect(t)
	aegistest.Serve(t, conn, func(srv *aegis.Server) error {
		if err := edition2023v1aegis.RegisterEditionServiceServer(srv, edition2023Server{}); err != nil {
			return err
		}
		return edition2024v1aegis.RegisterEditionServiceServer(srv, edition2024Server{})
	})
	older, err := edition2023v1aegis.NewEditionServiceClient(conn)
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := older.Call(t.Context(), edition2023v1.CallRequest_builder{Id: proto.String("a")}.Build()); err != nil || resp.GetId() != "a" {
		t.Errorf("2023: %v, %v", resp, err)
	}
	newer, err := edition2024v1aegis.NewEditionServiceClient(conn)
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := newer.Call(t.Context(), edition2024v1.CallRequest_builder{Id: proto.String("b")}.Build()); err != nil || resp.GetId() != "b" {
		t.Errorf("2024: %v, %v", resp, err)
	}
}

// stuck answers nobody.
type stuck struct {
	unaryv1aegis.UnimplementedOrderServiceServer
}

func (stuck) NoComment(ctx context.Context, _ *unaryv1.GetOrderRequest) (*unaryv1.GetOrderResponse, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// NoComment has a timeout of 1 ms, its service one of 500 ms.
func TestTimeoutBelowASecondHasEffect(t *testing.T) {
	t.Parallel()
	conn := aegistest.Connect(t)
	aegistest.Serve(t, conn, func(srv *aegis.Server) error {
		return unaryv1aegis.RegisterOrderServiceServer(srv, stuck{})
	})
	client, err := unaryv1aegis.NewOrderServiceClient(conn)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	_, err = client.NoComment(t.Context(), &unaryv1.GetOrderRequest{})
	if took := time.Since(began); aegis.CodeOf(err) != aegis.CodeDeadlineExceeded || took > 4*time.Second {
		t.Errorf("%v after %v, want DEADLINE_EXCEEDED after about 1 ms", err, took)
	}
}

func TestNilImplementationIsAnError(t *testing.T) {
	t.Parallel()
	srv, err := aegis.NewServer(aegistest.Connect(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := unaryv1aegis.RegisterOrderServiceServer(srv, nil); err == nil {
		t.Error("a nil implementation is registered")
	}
}
