//go:build linux

package roles

import (
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/durationpb"

	faultv1 "github.com/aegisrpc/aegis/internal/fault/gen/fault/v1"
	aegisv1 "github.com/aegisrpc/aegis/proto/aegis/v1"
)

// DurableService describes the service as the workers have it, with an ack wait of its
// own; 0 is that of the proto.
func DurableService(ackWait time.Duration) (protoreflect.ServiceDescriptor, error) {
	file := protodesc.ToFileDescriptorProto(faultv1.File_fault_v1_durable_proto)
	if ackWait == 0 {
		return faultv1.File_fault_v1_durable_proto.Services().Get(0), nil
	}
	for _, m := range file.GetService()[0].GetMethod() {
		m.Options, _ = proto.Clone(m.GetOptions()).(*descriptorpb.MethodOptions)
		options, _ := proto.GetExtension(m.GetOptions(), aegisv1.E_Method).(*aegisv1.MethodOptions)
		if ev := options.GetEvent(); ev != nil {
			ev.AckWait = durationpb.New(ackWait)
		} else {
			options.GetCommand().AckWait = durationpb.New(ackWait)
		}
	}
	desc, err := protodesc.NewFile(file, protoregistry.GlobalFiles)
	if err != nil {
		return nil, err
	}
	return desc.Services().Get(0), nil
}
