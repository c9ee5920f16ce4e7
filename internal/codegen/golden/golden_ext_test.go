// Package golden_test calls every golden case over a real NATS server.
package golden_test

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/aegisrpc/aegis/internal/codegen/golden/commands/commandsv1aegis"
	"github.com/aegisrpc/aegis/internal/codegen/golden/comments/commentsv1aegis"
	"github.com/aegisrpc/aegis/internal/codegen/golden/deep/a/b/c/d/e/f/v1beta1/v1beta1aegis"
	"github.com/aegisrpc/aegis/internal/codegen/golden/deprecation/deprecationv1aegis" //nolint:staticcheck // deprecated on purpose
	"github.com/aegisrpc/aegis/internal/codegen/golden/edition2023/edition2023v1aegis"
	"github.com/aegisrpc/aegis/internal/codegen/golden/edition2024/edition2024v1aegis"
	"github.com/aegisrpc/aegis/internal/codegen/golden/emptyservice/emptyservicev1aegis"
	"github.com/aegisrpc/aegis/internal/codegen/golden/events/eventsv1aegis"
	"github.com/aegisrpc/aegis/internal/codegen/golden/imported/importedv1aegis"
	"github.com/aegisrpc/aegis/internal/codegen/golden/names/namesv1aegis"
	"github.com/aegisrpc/aegis/internal/codegen/golden/nopackage/nopackageaegis"
	"github.com/aegisrpc/aegis/internal/codegen/golden/optional/optionalv1aegis"
	"github.com/aegisrpc/aegis/internal/codegen/golden/pkgnames/aegis/aegisaegis"
	"github.com/aegisrpc/aegis/internal/codegen/golden/pkgnames/c/caegis"
	"github.com/aegisrpc/aegis/internal/codegen/golden/pkgnames/client/clientaegis"
	"github.com/aegisrpc/aegis/internal/codegen/golden/pkgnames/conn/connaegis"
	"github.com/aegisrpc/aegis/internal/codegen/golden/pkgnames/context/contextaegis"
	"github.com/aegisrpc/aegis/internal/codegen/golden/pkgnames/ctx/ctxaegis"
	"github.com/aegisrpc/aegis/internal/codegen/golden/pkgnames/err/erraegis"
	"github.com/aegisrpc/aegis/internal/codegen/golden/pkgnames/error/erroraegis"
	"github.com/aegisrpc/aegis/internal/codegen/golden/pkgnames/fooClientaegis"
	"github.com/aegisrpc/aegis/internal/codegen/golden/pkgnames/impl/implaegis"
	"github.com/aegisrpc/aegis/internal/codegen/golden/pkgnames/iter/iteraegis"
	"github.com/aegisrpc/aegis/internal/codegen/golden/pkgnames/len/lenaegis"
	"github.com/aegisrpc/aegis/internal/codegen/golden/pkgnames/opts/optsaegis"
	"github.com/aegisrpc/aegis/internal/codegen/golden/pkgnames/req/reqaegis"
	"github.com/aegisrpc/aegis/internal/codegen/golden/pkgnames/srv/srvaegis"
	"github.com/aegisrpc/aegis/internal/codegen/golden/pkgnames/string/stringaegis"
	"github.com/aegisrpc/aegis/internal/codegen/golden/pkgnames/type/typeaegis"
	"github.com/aegisrpc/aegis/internal/codegen/golden/proto2/proto2v1aegis"
	"github.com/aegisrpc/aegis/internal/codegen/golden/root/rootaegis"
	"github.com/aegisrpc/aegis/internal/codegen/golden/samenames/samenamesv1aegis"
	"github.com/aegisrpc/aegis/internal/codegen/golden/several/severalv1aegis"
	"github.com/aegisrpc/aegis/internal/codegen/golden/sticky/stickyv1aegis"
	"github.com/aegisrpc/aegis/internal/codegen/golden/streams/streamsv1aegis"
	"github.com/aegisrpc/aegis/internal/codegen/golden/unary/unaryv1aegis"
	"github.com/aegisrpc/aegis/internal/codegen/golden/wellknown/wellknownv1aegis"
	"github.com/aegisrpc/aegis/internal/spec"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

// service is one generated service, without its types.
type service struct {
	name     string
	register func(*aegis.Server) error
	client   func(*aegis.Conn) (any, error)
}

func of[S, C any](name string, register func(*aegis.Server, S, ...aegis.ServiceOption) error, impl any,
	client func(*aegis.Conn, ...aegis.ClientOption) (C, error),
) service {
	return service{
		name: name,
		register: func(srv *aegis.Server) error {
			s, ok := impl.(S)
			if !ok {
				return fmt.Errorf("%T does not implement the server of %s", impl, name)
			}
			if impl := reflect.TypeOf(s); impl.NumMethod() == 0 || impl.NumMethod() == 1 && impl.Method(0).Name == "OnLeading" {
				return register(srv, s)
			}
			return register(srv, s, aegis.WithUnimplemented())
		},
		// The registry may still have the server as starting.
		client: func(conn *aegis.Conn) (any, error) { return client(conn, aegis.WaitForReady()) },
	}
}

// reportServer implements nothing either, but may lead.
type reportServer struct {
	commandsv1aegis.UnimplementedReportServiceServer
}

func (reportServer) OnLeading(context.Context, aegis.Term) error { return nil }

func services() []service {
	return []service{
		of(commentsv1aegis.CommentServiceName, commentsv1aegis.RegisterCommentServiceServer, commentsv1aegis.UnimplementedCommentServiceServer{}, commentsv1aegis.NewCommentServiceClient),
		of(commandsv1aegis.ReportServiceName, commandsv1aegis.RegisterReportServiceServer, reportServer{}, commandsv1aegis.NewReportServiceClient),
		of(v1beta1aegis.DeepServiceName, v1beta1aegis.RegisterDeepServiceServer, v1beta1aegis.UnimplementedDeepServiceServer{}, v1beta1aegis.NewDeepServiceClient),
		of(deprecationv1aegis.OldServiceName, deprecationv1aegis.RegisterOldServiceServer, deprecationv1aegis.UnimplementedOldServiceServer{}, deprecationv1aegis.NewOldServiceClient), //nolint:staticcheck // deprecated on purpose
		of(deprecationv1aegis.NewServiceName, deprecationv1aegis.RegisterNewServiceServer, deprecationv1aegis.UnimplementedNewServiceServer{}, deprecationv1aegis.NewNewServiceClient),
		of(edition2023v1aegis.EditionServiceName, edition2023v1aegis.RegisterEditionServiceServer, edition2023v1aegis.UnimplementedEditionServiceServer{}, edition2023v1aegis.NewEditionServiceClient),
		of(edition2024v1aegis.EditionServiceName, edition2024v1aegis.RegisterEditionServiceServer, edition2024v1aegis.UnimplementedEditionServiceServer{}, edition2024v1aegis.NewEditionServiceClient),
		of(emptyservicev1aegis.EmptyServiceName, emptyservicev1aegis.RegisterEmptyServiceServer, emptyservicev1aegis.UnimplementedEmptyServiceServer{}, emptyservicev1aegis.NewEmptyServiceClient),
		of(eventsv1aegis.MarketServiceName, eventsv1aegis.RegisterMarketServiceServer, eventsv1aegis.UnimplementedMarketServiceServer{}, eventsv1aegis.NewMarketServiceClient),
		of(eventsv1aegis.NewsServiceName, eventsv1aegis.RegisterNewsServiceServer, eventsv1aegis.UnimplementedNewsServiceServer{}, eventsv1aegis.NewNewsServiceClient),
		of(importedv1aegis.ImportedServiceName, importedv1aegis.RegisterImportedServiceServer, importedv1aegis.UnimplementedImportedServiceServer{}, importedv1aegis.NewImportedServiceClient),
		of(namesv1aegis.SnakeCaseServiceName, namesv1aegis.RegisterSnakeCaseServiceServer, namesv1aegis.UnimplementedSnakeCaseServiceServer{}, namesv1aegis.NewSnakeCaseServiceClient),
		of(namesv1aegis.XUnderscoreName, namesv1aegis.RegisterXUnderscoreServer, namesv1aegis.UnimplementedXUnderscoreServer{}, namesv1aegis.NewXUnderscoreClient),
		of(namesv1aegis.LowerName, namesv1aegis.RegisterLowerServer, namesv1aegis.UnimplementedLowerServer{}, namesv1aegis.NewLowerClient),
		of(namesv1aegis.KeywordsName, namesv1aegis.RegisterKeywordsServer, namesv1aegis.UnimplementedKeywordsServer{}, namesv1aegis.NewKeywordsClient),
		of(namesv1aegis.PredeclaredName, namesv1aegis.RegisterPredeclaredServer, namesv1aegis.UnimplementedPredeclaredServer{}, namesv1aegis.NewPredeclaredClient),
		of(namesv1aegis.LocalsName, namesv1aegis.RegisterLocalsServer, namesv1aegis.UnimplementedLocalsServer{}, namesv1aegis.NewLocalsClient),
		of(namesv1aegis.EchoEchoName, namesv1aegis.RegisterEchoEchoServer, namesv1aegis.UnimplementedEchoEchoServer{}, namesv1aegis.NewEchoEchoClient),
		of(namesv1aegis.ContextName, namesv1aegis.RegisterContextServer, namesv1aegis.UnimplementedContextServer{}, namesv1aegis.NewContextClient),
		of(namesv1aegis.AegisName, namesv1aegis.RegisterAegisServer, namesv1aegis.UnimplementedAegisServer{}, namesv1aegis.NewAegisClient),
		of(nopackageaegis.GoldenNoPackageServiceName, nopackageaegis.RegisterGoldenNoPackageServiceServer, nopackageaegis.UnimplementedGoldenNoPackageServiceServer{}, nopackageaegis.NewGoldenNoPackageServiceClient),
		of(optionalv1aegis.OptionalServiceName, optionalv1aegis.RegisterOptionalServiceServer, optionalv1aegis.UnimplementedOptionalServiceServer{}, optionalv1aegis.NewOptionalServiceClient),
		of(aegisaegis.PackageServiceName, aegisaegis.RegisterPackageServiceServer, aegisaegis.UnimplementedPackageServiceServer{}, aegisaegis.NewPackageServiceClient),
		of(caegis.PackageServiceName, caegis.RegisterPackageServiceServer, caegis.UnimplementedPackageServiceServer{}, caegis.NewPackageServiceClient),
		of(clientaegis.PackageServiceName, clientaegis.RegisterPackageServiceServer, clientaegis.UnimplementedPackageServiceServer{}, clientaegis.NewPackageServiceClient),
		of(connaegis.PackageServiceName, connaegis.RegisterPackageServiceServer, connaegis.UnimplementedPackageServiceServer{}, connaegis.NewPackageServiceClient),
		of(contextaegis.PackageServiceName, contextaegis.RegisterPackageServiceServer, contextaegis.UnimplementedPackageServiceServer{}, contextaegis.NewPackageServiceClient),
		of(ctxaegis.PackageServiceName, ctxaegis.RegisterPackageServiceServer, ctxaegis.UnimplementedPackageServiceServer{}, ctxaegis.NewPackageServiceClient),
		of(erraegis.PackageServiceName, erraegis.RegisterPackageServiceServer, erraegis.UnimplementedPackageServiceServer{}, erraegis.NewPackageServiceClient),
		of(erroraegis.PackageServiceName, erroraegis.RegisterPackageServiceServer, erroraegis.UnimplementedPackageServiceServer{}, erroraegis.NewPackageServiceClient),
		of(fooClientaegis.FooName, fooClientaegis.RegisterFooServer, fooClientaegis.UnimplementedFooServer{}, fooClientaegis.NewFooClient),
		of(implaegis.PackageServiceName, implaegis.RegisterPackageServiceServer, implaegis.UnimplementedPackageServiceServer{}, implaegis.NewPackageServiceClient),
		of(iteraegis.PackageServiceName, iteraegis.RegisterPackageServiceServer, iteraegis.UnimplementedPackageServiceServer{}, iteraegis.NewPackageServiceClient),
		of(lenaegis.PackageServiceName, lenaegis.RegisterPackageServiceServer, lenaegis.UnimplementedPackageServiceServer{}, lenaegis.NewPackageServiceClient),
		of(optsaegis.PackageServiceName, optsaegis.RegisterPackageServiceServer, optsaegis.UnimplementedPackageServiceServer{}, optsaegis.NewPackageServiceClient),
		of(reqaegis.PackageServiceName, reqaegis.RegisterPackageServiceServer, reqaegis.UnimplementedPackageServiceServer{}, reqaegis.NewPackageServiceClient),
		of(srvaegis.PackageServiceName, srvaegis.RegisterPackageServiceServer, srvaegis.UnimplementedPackageServiceServer{}, srvaegis.NewPackageServiceClient),
		of(stringaegis.PackageServiceName, stringaegis.RegisterPackageServiceServer, stringaegis.UnimplementedPackageServiceServer{}, stringaegis.NewPackageServiceClient),
		of(typeaegis.PackageServiceName, typeaegis.RegisterPackageServiceServer, typeaegis.UnimplementedPackageServiceServer{}, typeaegis.NewPackageServiceClient),
		of(proto2v1aegis.Proto2ServiceName, proto2v1aegis.RegisterProto2ServiceServer, proto2v1aegis.UnimplementedProto2ServiceServer{}, proto2v1aegis.NewProto2ServiceClient),
		of(rootaegis.RootServiceName, rootaegis.RegisterRootServiceServer, rootaegis.UnimplementedRootServiceServer{}, rootaegis.NewRootServiceClient),
		of(samenamesv1aegis.BackupServiceName, samenamesv1aegis.RegisterBackupServiceServer, samenamesv1aegis.UnimplementedBackupServiceServer{}, samenamesv1aegis.NewBackupServiceClient),
		of(samenamesv1aegis.ReportServiceName, samenamesv1aegis.RegisterReportServiceServer, samenamesv1aegis.UnimplementedReportServiceServer{}, samenamesv1aegis.NewReportServiceClient),
		of(severalv1aegis.FirstServiceName, severalv1aegis.RegisterFirstServiceServer, severalv1aegis.UnimplementedFirstServiceServer{}, severalv1aegis.NewFirstServiceClient),
		of(severalv1aegis.SecondServiceName, severalv1aegis.RegisterSecondServiceServer, severalv1aegis.UnimplementedSecondServiceServer{}, severalv1aegis.NewSecondServiceClient),
		of(severalv1aegis.ThirdServiceName, severalv1aegis.RegisterThirdServiceServer, severalv1aegis.UnimplementedThirdServiceServer{}, severalv1aegis.NewThirdServiceClient),
		of(stickyv1aegis.StickyServiceName, stickyv1aegis.RegisterStickyServiceServer, stickyv1aegis.UnimplementedStickyServiceServer{}, stickyv1aegis.NewStickyServiceClient),
		of(unaryv1aegis.OrderServiceName, unaryv1aegis.RegisterOrderServiceServer, unaryv1aegis.UnimplementedOrderServiceServer{}, unaryv1aegis.NewOrderServiceClient),
		of(streamsv1aegis.StreamServiceName, streamsv1aegis.RegisterStreamServiceServer, streamsv1aegis.UnimplementedStreamServiceServer{}, streamsv1aegis.NewStreamServiceClient),
		of(wellknownv1aegis.WellKnownServiceName, wellknownv1aegis.RegisterWellKnownServiceServer, wellknownv1aegis.UnimplementedWellKnownServiceServer{}, wellknownv1aegis.NewWellKnownServiceClient),
	}
}

// Every method of every case reaches the handler of its name: the answer of the
// generated Unimplemented server names it.
func TestEveryGeneratedMethodIsCalled(t *testing.T) {
	t.Parallel()
	conn := aegistest.Connect(t)
	aegistest.Serve(t, conn, func(srv *aegis.Server) error {
		for _, s := range services() {
			if err := s.register(srv); err != nil {
				return err
			}
		}
		return nil
	})
	for _, s := range services() {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			client, err := s.client(conn)
			if err != nil {
				t.Fatal(err)
			}
			callAll(t, s.name, client)
		})
	}
}

// callAll calls all methods of a client; the descriptor says which there are.
func callAll(t *testing.T, name string, client any) {
	t.Helper()
	// One method has a timeout of 1 ms, which is another test's business.
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	methods := calledMethods(t, name)
	if got := reflect.TypeOf(client).NumMethod(); got != len(methods) {
		t.Errorf("the client has %d methods, the descriptor %d", got, len(methods))
	}
	called := map[string]bool{}
	for i := range reflect.TypeOf(client).NumMethod() {
		err := call(ctx, reflect.ValueOf(client).Method(i))
		if aegis.CodeOf(err) != aegis.CodeUnimplemented || !aegis.IsWireError(err) {
			t.Errorf("%s: %v", reflect.TypeOf(client).Method(i).Name, err)
			continue
		}
		for _, full := range methods {
			if strings.Contains(err.Error(), full+" is not implemented") {
				called[full] = true
			}
		}
	}
	if len(called) != len(methods) {
		t.Errorf("%d of %d handlers were called: %v", len(called), len(methods), called)
	}
}

// call calls a method, and reads the end of a stream.
func call(ctx context.Context, method reflect.Value) error {
	args := []reflect.Value{reflect.ValueOf(ctx)}
	if !method.Type().IsVariadic() || method.Type().NumIn() == 3 { // and not the options alone
		req := reflect.New(method.Type().In(1).Elem())
		if msg, ok := reflect.TypeAssert[proto.Message](req); ok {
			fill(msg)
		}
		args = append(args, req)
	}
	results := method.Call(args)
	if len(results) == 1 { // a broadcast
		for reply := range results[0].Seq() {
			err, _ := reflect.TypeAssert[error](reply.FieldByName("Err"))
			return err
		}
	}
	if err, _ := reflect.TypeAssert[error](results[1]); err != nil {
		return err
	}
	for _, read := range []string{"Recv", "CloseAndRecv"} {
		if recv := results[0].MethodByName(read); recv.IsValid() {
			err, _ := reflect.TypeAssert[error](recv.Call(nil)[1])
			return err
		}
	}
	if result := results[0].MethodByName("Result"); result.IsValid() { // a command
		err, _ := reflect.TypeAssert[error](result.Call([]reflect.Value{reflect.ValueOf(ctx)})[1])
		return err
	}
	return nil
}

// calledMethods are the full names of the methods of a service that are called,
// which its events are not.
func calledMethods(t *testing.T, name string) []string {
	t.Helper()
	service, err := spec.FromDescriptor(descriptorOf(t, name))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range service.Methods {
		if m.Event == nil {
			names = append(names, string(m.Desc.FullName()))
		}
	}
	return names
}

// fill sets what must be set in proto2.
func fill(msg proto.Message) {
	fields := msg.ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		if f := fields.Get(i); f.Cardinality() == protoreflect.Required && f.Kind() == protoreflect.StringKind {
			msg.ProtoReflect().Set(f, protoreflect.ValueOfString("x"))
		}
	}
}

func descriptorOf(t *testing.T, name string) protoreflect.ServiceDescriptor {
	t.Helper()
	desc, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(name))
	if err != nil {
		t.Fatal(err)
	}
	service, ok := desc.(protoreflect.ServiceDescriptor)
	if !ok {
		t.Fatalf("%s is no service", name)
	}
	return service
}

// No case may be forgotten above.
func TestEveryCaseIsListed(t *testing.T) {
	t.Parallel()
	listed := map[string]bool{}
	for _, s := range services() {
		listed[s.name] = true
	}
	count := 0
	protoregistry.GlobalFiles.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		if !strings.Contains(string(file.Package()), "golden") && !strings.HasPrefix(file.Path(), "nopackage/") {
			return true
		}
		for i := range file.Services().Len() {
			count++
			if name := string(file.Services().Get(i).FullName()); !listed[name] {
				t.Errorf("%s is not listed", name)
			}
		}
		return true
	})
	if count != len(listed) {
		t.Errorf("%d services are listed, %d are linked", len(listed), count)
	}
}
