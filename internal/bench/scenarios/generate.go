package scenarios

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/pluginpb"

	"github.com/aegisrpc/aegis/internal/bench/figures"
	aegisv1 "github.com/aegisrpc/aegis/proto/aegis/v1"
)

const (
	generatedServices = 100
	methodsOfEach     = 10
	generateRuns      = 7
	generateLimit     = 2 * time.Minute
)

// generateScenario times the plugin.
func generateScenario() Scenario {
	return Scenario{
		Name:  "generate",
		About: fmt.Sprintf("The plugin's process, from its start to its end, for %d services of %d methods in as many files.", generatedServices, methodsOfEach),
		Run:   runGenerate,
	}
}

func runGenerate(ctx context.Context, _ *Settings) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, generateLimit)
	defer cancel()
	dir, err := os.MkdirTemp("", "aegis-bench-")
	if err != nil {
		return 0, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	plugin := filepath.Join(dir, "protoc-gen-aegis")
	build := exec.CommandContext(ctx, "go", "build", "-o", plugin, "github.com/aegisrpc/aegis/cmd/protoc-gen-aegis") //nolint:gosec // of this module
	if out, err := build.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("build the plugin: %w\n%s", err, out)
	}
	request, err := proto.Marshal(generatorRequest())
	if err != nil {
		return 0, err
	}
	var times, cpu figures.Spread
	for range generateRuns {
		took, used, err := timePlugin(ctx, plugin, request)
		if err != nil {
			return 0, err
		}
		times, cpu = append(times, took.Seconds()), append(cpu, used.Seconds())
	}
	fmt.Printf("\nIt used %v s of processor time.\n\n", cpu)
	v := figures.NewVerdicts(os.Stdout, "generate")
	v.Judge(fmt.Sprintf("seconds, median of %d runs", generateRuns), figures.Median(times), times.String(), figures.AtMost(1))
	return v.Done(), nil
}

// timePlugin returns how long a run took, and the processor time that it used.
func timePlugin(ctx context.Context, plugin string, request []byte) (took, cpu time.Duration, err error) {
	cmd := exec.CommandContext(ctx, plugin)
	cmd.Stdin = bytes.NewReader(request)
	cmd.Stderr = os.Stderr
	start := time.Now()
	out, err := cmd.Output()
	took = time.Since(start)
	if err != nil {
		return 0, 0, fmt.Errorf("run the plugin: %w", err)
	}
	var res pluginpb.CodeGeneratorResponse
	switch err := proto.Unmarshal(out, &res); {
	case err != nil:
		return 0, 0, err
	case res.GetError() != "":
		return 0, 0, errors.New(res.GetError())
	case len(res.GetFile()) != generatedServices:
		return 0, 0, fmt.Errorf("the plugin generated %d files, not %d", len(res.GetFile()), generatedServices)
	default:
		return took, cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), nil
	}
}

// generatorRequest returns a request as buf would send it.
func generatorRequest() *pluginpb.CodeGeneratorRequest {
	req := &pluginpb.CodeGeneratorRequest{Parameter: proto.String("module=bench.example")}
	for _, desc := range []protoreflect.FileDescriptor{
		descriptorpb.File_google_protobuf_descriptor_proto, durationpb.File_google_protobuf_duration_proto, aegisv1.File_aegis_v1_options_proto,
	} {
		req.ProtoFile = append(req.ProtoFile, protodesc.ToFileDescriptorProto(desc))
	}
	for n := range generatedServices {
		file := benchFile(n)
		req.ProtoFile = append(req.ProtoFile, file)
		req.FileToGenerate = append(req.FileToGenerate, file.GetName())
	}
	return req
}

// benchFile is a file with a service and the messages of its methods.
func benchFile(n int) *descriptorpb.FileDescriptorProto {
	pkg := fmt.Sprintf("bench%d.v1", n)
	service := &descriptorpb.ServiceDescriptorProto{Name: proto.String("BenchService"), Options: &descriptorpb.ServiceOptions{}}
	proto.SetExtension(service.GetOptions(), aegisv1.E_Service, &aegisv1.ServiceOptions{Version: "1.0.0"})
	file := &descriptorpb.FileDescriptorProto{
		Name: proto.String(fmt.Sprintf("bench%d/v1/bench.proto", n)), Package: proto.String(pkg), Syntax: proto.String("proto3"),
		Dependency: []string{aegisv1.File_aegis_v1_options_proto.Path()},
		Options:    &descriptorpb.FileOptions{GoPackage: proto.String(fmt.Sprintf("bench.example/bench%d/v1;bench%dv1", n, n))},
		Service:    []*descriptorpb.ServiceDescriptorProto{service},
	}
	for m := range methodsOfEach {
		name := fmt.Sprintf("Method%d", m)
		file.MessageType = append(file.MessageType, benchMessage(name+"Request"), benchMessage(name+"Response"))
		service.Method = append(service.Method, &descriptorpb.MethodDescriptorProto{
			Name: proto.String(name), InputType: proto.String("." + pkg + "." + name + "Request"), OutputType: proto.String("." + pkg + "." + name + "Response"),
		})
	}
	return file
}

func benchMessage(name string) *descriptorpb.DescriptorProto {
	return &descriptorpb.DescriptorProto{Name: proto.String(name), Field: []*descriptorpb.FieldDescriptorProto{{
		Name: proto.String("text"), Number: proto.Int32(1),
		Type: descriptorpb.FieldDescriptorProto_TYPE_STRING.Enum(), Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
	}}}
}
