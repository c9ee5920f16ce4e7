package spec_test

import (
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/emptypb"

	aegisv1 "github.com/aegisrpc/aegis/proto/aegis/v1"
)

// rpc is a method of a service under test. Its request is test.v1.Message.
type rpc struct {
	name           string
	opts           *aegisv1.MethodOptions
	raw            []byte // instead of opts: what a field of another type would leave
	clientStream   bool
	serverStream   bool
	returnsNothing bool
	idempotency    descriptorpb.MethodOptions_IdempotencyLevel
}

// service builds the descriptor of test.v1.Service.
func service(t testing.TB, opts *aegisv1.ServiceOptions, rpcs ...rpc) protoreflect.ServiceDescriptor {
	t.Helper()
	svc := &descriptorpb.ServiceDescriptorProto{Name: proto.String("Service")}
	if opts != nil {
		svc.Options = &descriptorpb.ServiceOptions{}
		proto.SetExtension(svc.Options, aegisv1.E_Service, opts)
	}
	for _, r := range rpcs {
		svc.Method = append(svc.Method, r.proto())
	}
	return build(t, "test.v1", svc)
}

func (r rpc) proto() *descriptorpb.MethodDescriptorProto {
	m := &descriptorpb.MethodDescriptorProto{
		Name:            proto.String(r.name),
		InputType:       proto.String(".test.v1.Message"),
		OutputType:      proto.String(".test.v1.Message"),
		ClientStreaming: proto.Bool(r.clientStream),
		ServerStreaming: proto.Bool(r.serverStream),
		Options:         &descriptorpb.MethodOptions{},
	}
	if r.returnsNothing {
		m.OutputType = proto.String(".google.protobuf.Empty")
	}
	if r.idempotency != 0 {
		m.Options.IdempotencyLevel = r.idempotency.Enum()
	}
	if r.opts != nil {
		proto.SetExtension(m.Options, aegisv1.E_Method, r.opts)
	}
	if r.raw != nil {
		m.Options.ProtoReflect().SetUnknown(r.raw)
	}
	return m
}

// build makes a file of messages and one service, and returns the service.
func build(t testing.TB, pkg string, svc *descriptorpb.ServiceDescriptorProto) protoreflect.ServiceDescriptor {
	t.Helper()
	field := func(name string, number int32, kind descriptorpb.FieldDescriptorProto_Type) *descriptorpb.FieldDescriptorProto {
		return &descriptorpb.FieldDescriptorProto{
			Name:   proto.String(name),
			Number: proto.Int32(number),
			Type:   kind.Enum(),
			Label:  descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
		}
	}
	inner := field("inner", 2, descriptorpb.FieldDescriptorProto_TYPE_MESSAGE)
	inner.TypeName = proto.String(".Message")
	if pkg != "" {
		inner.TypeName = proto.String("." + pkg + ".Message")
	}
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name:       proto.String("test.proto"),
		Package:    proto.String(pkg),
		Syntax:     proto.String("proto3"),
		Dependency: []string{emptypb.File_google_protobuf_empty_proto.Path()},
		MessageType: []*descriptorpb.DescriptorProto{{
			Name:  proto.String("Message"),
			Field: []*descriptorpb.FieldDescriptorProto{field("id", 1, descriptorpb.FieldDescriptorProto_TYPE_STRING), inner},
		}},
		Service: []*descriptorpb.ServiceDescriptorProto{svc},
	}, protoregistry.GlobalFiles)
	if err != nil {
		t.Fatal(err)
	}
	return file.Services().Get(0)
}
