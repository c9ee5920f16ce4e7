package codegen_test

import (
	"fmt"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/aegisrpc/aegis/internal/codegen"
)

// BenchmarkHundredServices generates 100 services of 10 methods. It fails
// above a second, which would be felt at every build.
func BenchmarkHundredServices(b *testing.B) {
	req := requestFor(hundredServices(), "", "")
	var slowest time.Duration
	for b.Loop() {
		began := time.Now()
		resp := codegen.New(codegen.Version).Respond(req)
		slowest = max(slowest, time.Since(began))
		if resp.Error != nil || len(resp.GetFile()) != 100 {
			b.Fatalf("error %q and %d files, want 100 files", resp.GetError(), len(resp.GetFile()))
		}
	}
	if slowest > time.Second {
		b.Errorf("the slowest run took %v, want less than a second", slowest)
	}
}

func hundredServices() []*descriptorpb.FileDescriptorProto {
	files := make([]*descriptorpb.FileDescriptorProto, 100)
	for i := range files {
		pkg := fmt.Sprintf("bench.s%d.v1", i)
		service := &descriptorpb.ServiceDescriptorProto{Name: proto.String("BenchService")}
		file := &descriptorpb.FileDescriptorProto{
			Name:    proto.String(fmt.Sprintf("bench/s%d/v1/bench.proto", i)),
			Package: proto.String(pkg),
			Syntax:  proto.String("proto3"),
			Options: &descriptorpb.FileOptions{GoPackage: proto.String(fmt.Sprintf("example.com/bench/s%d/v1;s%dv1", i, i))},
			Service: []*descriptorpb.ServiceDescriptorProto{service},
		}
		for j := range 10 {
			for _, suffix := range []string{"Request", "Response"} {
				file.MessageType = append(file.MessageType, &descriptorpb.DescriptorProto{Name: proto.String(fmt.Sprintf("Call%d%s", j, suffix))})
			}
			service.Method = append(service.Method, &descriptorpb.MethodDescriptorProto{
				Name:       proto.String(fmt.Sprintf("Call%d", j)),
				InputType:  proto.String(fmt.Sprintf(".%s.Call%dRequest", pkg, j)),
				OutputType: proto.String(fmt.Sprintf(".%s.Call%dResponse", pkg, j)),
			})
		}
		files[i] = file
	}
	return files
}
