package codegen_test

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"

	// The packages that the test cases import.
	_ "google.golang.org/protobuf/types/gofeaturespb"
	_ "google.golang.org/protobuf/types/known/anypb"
	_ "google.golang.org/protobuf/types/known/durationpb"
	_ "google.golang.org/protobuf/types/known/emptypb"
	_ "google.golang.org/protobuf/types/known/structpb"
	_ "google.golang.org/protobuf/types/known/timestamppb"
	_ "google.golang.org/protobuf/types/known/wrapperspb"

	_ "github.com/aegisrpc/aegis/proto/aegis/v1"
)

var update = flag.Bool("update", false, "write what is generated instead of comparing it")

// module is the parameter that buf passes as well.
const module = "module=github.com/aegisrpc/aegis"

// readImage returns the files of an image that buf has built of the .proto
// files in dir, after those that they import. make generate builds the images.
func readImage(t testing.TB, dir string) []*descriptorpb.FileDescriptorProto {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "image.binpb"))
	if err != nil {
		t.Fatal(err)
	}
	set := &descriptorpb.FileDescriptorSet{}
	if err := proto.Unmarshal(data, set); err != nil {
		t.Fatal(err)
	}
	return append(linkedImports(t, set.GetFile()), set.GetFile()...)
}

// linkedImports returns the imports that the image leaves out, from the Go
// packages that are linked into the test.
func linkedImports(t testing.TB, files []*descriptorpb.FileDescriptorProto) []*descriptorpb.FileDescriptorProto {
	t.Helper()
	have := map[string]bool{}
	for _, f := range files {
		have[f.GetName()] = true
	}
	var imports []*descriptorpb.FileDescriptorProto
	var add func(names []string)
	add = func(names []string) {
		for _, name := range names {
			if have[name] {
				continue
			}
			have[name] = true
			desc, err := protoregistry.GlobalFiles.FindFileByPath(name)
			if err != nil {
				t.Fatalf("%s is imported, but its Go package is not linked into this test: %v", name, err)
			}
			f := protodesc.ToFileDescriptorProto(desc)
			add(f.GetDependency())
			imports = append(imports, f)
		}
	}
	for _, f := range files {
		add(f.GetDependency())
		add(f.GetOptionDependency())
	}
	return imports
}

// requestFor asks for code for those files that are in the folder.
func requestFor(files []*descriptorpb.FileDescriptorProto, parameter, folder string) *pluginpb.CodeGeneratorRequest {
	req := &pluginpb.CodeGeneratorRequest{ProtoFile: files}
	if parameter != "" {
		req.Parameter = proto.String(parameter)
	}
	for _, f := range files {
		if strings.HasPrefix(f.GetName(), folder) && !isLibrary(f.GetName()) {
			req.FileToGenerate = append(req.FileToGenerate, f.GetName())
		}
	}
	return req
}

func isLibrary(name string) bool {
	return slices.ContainsFunc([]string{"google/protobuf/", "aegis/v1/"}, func(prefix string) bool {
		return strings.HasPrefix(name, prefix)
	})
}
