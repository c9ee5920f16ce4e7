//go:build linux

package roles

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	faultv1 "github.com/aegisrpc/aegis/internal/fault/gen/fault/v1"
	aegisv1 "github.com/aegisrpc/aegis/proto/aegis/v1"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// CrowdOrder says how to stand in many groups at once.
type CrowdOrder struct {
	URL      string
	Instance string
	Groups   int
}

// crowdService does nothing: what is measured is the standing.
type crowdService struct{}

func (crowdService) act(context.Context, *faultv1.ActRequest) (*faultv1.ActResponse, error) {
	return &faultv1.ActResponse{}, nil
}

func (crowdService) onLeading(context.Context, aegis.Term) error { return nil }

// runCrowd stands for election in all groups.
func runCrowd(o CrowdOrder) error {
	desc, err := crowdDescriptor(o.Groups)
	if err != nil {
		return err
	}
	handlers := []aegis.Handler[crowdService]{aegis.LeadingHandler(crowdService.onLeading)}
	for i := range o.Groups {
		handlers = append(handlers, aegis.UnaryHandler(protoreflect.Name(crowdMethod(i)), crowdService.act))
	}
	return serve(serving{
		url: o.URL, instance: o.Instance, connect: connect,
		register: func(_ *aegis.Conn, srv *aegis.Server) error {
			return aegis.RegisterService(srv, desc, crowdService{}, handlers)
		},
	})
}

func crowdMethod(i int) string { return fmt.Sprintf("Act%03d", i) }

// crowdDescriptor is a service with one method in each group.
func crowdDescriptor(groups int) (protoreflect.ServiceDescriptor, error) {
	request, response := (*faultv1.ActRequest)(nil).ProtoReflect().Descriptor(), (*faultv1.ActResponse)(nil).ProtoReflect().Descriptor()
	service := &descriptorpb.ServiceDescriptorProto{Name: proto.String("CrowdService")}
	for i := range groups {
		options := &descriptorpb.MethodOptions{}
		proto.SetExtension(options, aegisv1.E_Method, &aegisv1.MethodOptions{
			Pattern: &aegisv1.MethodOptions_SingleActive{SingleActive: &aegisv1.SingleActive{Group: fmt.Sprint("g", i)}},
		})
		service.Method = append(service.Method, &descriptorpb.MethodDescriptorProto{
			Name: proto.String(crowdMethod(i)), Options: options,
			InputType:  proto.String("." + string(request.FullName())),
			OutputType: proto.String("." + string(response.FullName())),
		})
	}
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String("fault/crowd/v1/crowd.proto"), Package: proto.String("fault.crowd.v1"), Syntax: proto.String("proto3"),
		Dependency: []string{request.ParentFile().Path(), aegisv1.File_aegis_v1_options_proto.Path()},
		Service:    []*descriptorpb.ServiceDescriptorProto{service},
	}, protoregistry.GlobalFiles)
	if err != nil {
		return nil, err
	}
	return file.Services().Get(0), nil
}
