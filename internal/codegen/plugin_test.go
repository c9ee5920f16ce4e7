package codegen_test

import (
	"bytes"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"

	"github.com/aegisrpc/aegis/internal/codegen"
)

func TestParametersDecideTheNamesOfFiles(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, parameter, source, want string
	}{
		{"import path by default", "", "unary/unary.proto", "github.com/aegisrpc/aegis/internal/codegen/golden/unary/unaryv1aegis/unary.aegis.go"},
		{"paths=import", "paths=import", "unary/unary.proto", "github.com/aegisrpc/aegis/internal/codegen/golden/unary/unaryv1aegis/unary.aegis.go"},
		{"paths=source_relative", "paths=source_relative", "unary/unary.proto", "unary/unaryv1aegis/unary.aegis.go"},
		{"a file at the root", "paths=source_relative", "root.proto", "rootaegis/root.aegis.go"},
		{"module", "module=github.com/aegisrpc/aegis/internal", "unary/unary.proto", "codegen/golden/unary/unaryv1aegis/unary.aegis.go"},
		{"a package that is the module", "module=example.com/m,Mroot.proto=example.com/m", "root.proto", "rootaegis/root.aegis.go"},
		{"M with a package", "Mroot.proto=example.com/m/x;y", "root.proto", "example.com/m/x/yaegis/root.aegis.go"},
		{"parameters of the messages' plugin", "default_api_level=API_OPAQUE,apilevelMroot.proto=API_OPEN", "root.proto", "github.com/aegisrpc/aegis/internal/codegen/golden/root/rootaegis/root.aegis.go"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			req := requestFor(readImage(t, goldenDir), test.parameter, test.source)
			resp := codegen.New(codegen.Version).Respond(req)
			if resp.Error != nil || len(resp.GetFile()) != 1 {
				t.Fatalf("error %q and %d files, want one file", resp.GetError(), len(resp.GetFile()))
			}
			if got := resp.GetFile()[0].GetName(); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestParameterMistakes(t *testing.T) {
	t.Parallel()
	const instead = `; write paths=import, paths=source_relative, module=<prefix>, against=<image> or M<file>=<import path>`
	for _, test := range []struct {
		parameter, want string
	}{
		{"verbose", `unknown parameter "verbose"` + instead},
		{"paths=import,json=true", `unknown parameter "json"` + instead},
		{"annotate_code=true", `unknown parameter "annotate_code"` + instead},
		{"annotate_code", `unknown parameter "annotate_code"` + instead},
		{"paths=relative", `unknown path type "relative": want "import" or "source_relative"`},
		{"paths=source_relative,module=example.com", `cannot use module= with paths=source_relative`},
		{"module=example.com", `github.com/aegisrpc/aegis/internal/codegen/golden/root/rootaegis/root.aegis.go: generated file does not match prefix "example.com"`},
	} {
		t.Run(test.parameter, func(t *testing.T) {
			t.Parallel()
			resp := codegen.New(codegen.Version).Respond(requestFor(readImage(t, goldenDir), test.parameter, "root.proto"))
			if resp.GetError() != test.want {
				t.Errorf("got  %s\nwant %s", resp.GetError(), test.want)
			}
			if len(resp.GetFile()) > 0 {
				t.Error("files are generated in spite of the error")
			}
		})
	}
}

const managedHelp = `with buf's managed mode, write "disable: [{path: aegis}]" below "managed:" in buf.gen.yaml ` +
	`(the path in the import, which proto/aegis is not)`

// buf's managed mode gives each file another Go package, and takes the positions of
// what it changes away.
func TestAnotherGoPackageOfAegisItselfIsRefused(t *testing.T) {
	t.Parallel()
	const other = "example.com/hello/gen/aegis/v1"
	const prefix = `the Go package of Aegis's own file is to be "example.com/hello/gen/aegis/v1", but the runtime has it as ` +
		`"github.com/aegisrpc/aegis/proto/aegis/v1", and the generated code would not compile or panic when it starts; `
	change := func(f *descriptorpb.FileDescriptorProto) { f.Options.GoPackage = proto.String(other + ";aegisv1") }
	for _, test := range []struct {
		name, parameter, want string
		change                func(*descriptorpb.FileDescriptorProto)
	}{
		{"managed mode", "", "aegis/v1/options.proto: " + prefix + managedHelp, change},
		{
			"a parameter", "Maegis/v1/options.proto=" + other,
			"aegis/v1/options.proto: parameter Maegis/v1/options.proto: " + prefix + "leave out the parameter Maegis/v1/options.proto", nil,
		},
		{
			"the file itself", "", "aegis/v1/options.proto:7:3: " + prefix + `write go_package = "github.com/aegisrpc/aegis/proto/aegis/v1"`,
			func(f *descriptorpb.FileDescriptorProto) {
				change(f)
				f.SourceCodeInfo = &descriptorpb.SourceCodeInfo{Location: []*descriptorpb.SourceCodeInfo_Location{
					{Path: []int32{8, 11}, Span: []int32{6, 2, 40}},
				}}
			},
		},
		{
			"in another folder", "", "third_party/aegis/v1/options.proto: " + prefix + managedHelp,
			func(f *descriptorpb.FileDescriptorProto) {
				change(f)
				f.Name = proto.String("third_party/aegis/v1/options.proto")
			},
		},
		{
			"with a package name of its own", "", "",
			func(f *descriptorpb.FileDescriptorProto) {
				f.Options.GoPackage = proto.String("github.com/aegisrpc/aegis/proto/aegis/v1;other")
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			req := requestFor(readImage(t, goldenDir), test.parameter, "unary/")
			for _, f := range req.GetProtoFile() {
				if f.GetName() == "aegis/v1/options.proto" && test.change != nil {
					test.change(f)
				}
				for i, name := range f.GetDependency() {
					if name == "aegis/v1/options.proto" && test.name == "in another folder" {
						f.Dependency[i] = "third_party/aegis/v1/options.proto"
					}
				}
			}
			resp := codegen.New(codegen.Version).Respond(req)
			if resp.GetError() != test.want {
				t.Errorf("got  %s\nwant %s", resp.GetError(), test.want)
			}
			if (len(resp.GetFile()) > 0) != (test.want == "") {
				t.Errorf("%d files are generated", len(resp.GetFile()))
			}
		})
	}
}

// protogen refuses these as well, but says neither where nor what to write.
func TestGoPackageThatIsMissingOrNoPathHasItsPosition(t *testing.T) {
	t.Parallel()
	const write = "write the import path of the package that will hold the messages: the module's path in go.mod and the folder in it, such as "
	for _, test := range []struct{ value, parameter, want string }{
		{"", "", `gopackage/slash.proto:3:1: go_package is missing; ` + write + `option go_package = "example.com/hello/gen/hello/v1;hellov1"`},
		{"pb", "", `gopackage/slash.proto:5:1: go_package: "pb" is no import path, as it is a single name; ` + write + `"example.com/hello/pb"`},
		{";pb", "", `gopackage/slash.proto:5:1: go_package is missing; ` + write + `option go_package = "example.com/hello/gen/hello/v1;hellov1"`},
		{
			"example.com/hello", "Mgopackage/slash.proto=./pb;pb",
			`gopackage/slash.proto: parameter Mgopackage/slash.proto: go_package: "./pb" is no import path, as it is relative; ` + write + `"example.com/hello/pb"`,
		},
		{"pb", "Mgopackage/slash.proto=example.com/hello/pb", ""},
	} {
		t.Run(test.value+" "+test.parameter, func(t *testing.T) {
			t.Parallel()
			req := requestFor(readImage(t, mistakesDir), test.parameter, "gopackage/slash.proto")
			for _, f := range req.GetProtoFile() {
				if f.GetName() == "gopackage/slash.proto" {
					f.Options.GoPackage = proto.String(test.value)
				}
			}
			resp := codegen.New(codegen.Version).Respond(req)
			if resp.GetError() != test.want {
				t.Errorf("got  %s\nwant %s", resp.GetError(), test.want)
			}
		})
	}
}

// Some compilers leave positions out, and descriptors without comments exist.
func TestMistakesWithoutPositionsNameTheDescriptor(t *testing.T) {
	t.Parallel()
	files := readImage(t, mistakesDir)
	for _, f := range files {
		f.SourceCodeInfo = nil
	}
	resp := codegen.New(codegen.Version).Respond(requestFor(files, "", "length/"))
	const want = "the full name of the service has 201 characters, and NATS names made of it would be too long; " +
		"shorten the names of package and service to 200 in all"
	first, _, _ := strings.Cut(resp.GetError(), "\n")
	if !strings.HasPrefix(first, "length/length.proto: mistakes.length.a2345678901234567890123456789012345678901234567890.") ||
		!strings.HasSuffix(first, ": "+want) {
		t.Errorf("got %s", first)
	}
}

func TestVersionStandsInTheGeneratedCode(t *testing.T) {
	t.Parallel()
	resp := codegen.New("7.8.9").Respond(requestFor(readImage(t, goldenDir), module, "root.proto"))
	const want = "// Code generated by protoc-gen-aegis 7.8.9. DO NOT EDIT.\n//\n// Source: root.proto\n"
	if got := resp.GetFile()[0].GetContent(); !strings.HasPrefix(got, want) {
		t.Errorf("got %.200s", got)
	}
}

// Compilers refuse editions and features that a plugin does not declare, also
// where the response is an error.
func TestFeaturesAreDeclared(t *testing.T) {
	t.Parallel()
	const features = uint64(pluginpb.CodeGeneratorResponse_FEATURE_PROTO3_OPTIONAL | pluginpb.CodeGeneratorResponse_FEATURE_SUPPORTS_EDITIONS)
	for name, resp := range map[string]*pluginpb.CodeGeneratorResponse{
		"success": codegen.New("1").Respond(requestFor(readImage(t, goldenDir), module, "")),
		"mistake": codegen.New("1").Respond(requestFor(readImage(t, mistakesDir), "", "")),
		"refusal": codegen.New("1").Respond(requestFor(readImage(t, goldenDir), "unknown", "")),
	} {
		if (resp.Error == nil) != (name == "success") {
			t.Errorf("%s: error is %q", name, resp.GetError())
		}
		if resp.GetSupportedFeatures() != features {
			t.Errorf("%s: features are %d", name, resp.GetSupportedFeatures())
		}
		if resp.GetMinimumEdition() != int32(descriptorpb.Edition_EDITION_PROTO2) || resp.GetMaximumEdition() != int32(newestEdition(t)) {
			t.Errorf("%s: editions are %d to %d, but the protobuf module supports up to %v",
				name, resp.GetMinimumEdition(), resp.GetMaximumEdition(), newestEdition(t))
		}
	}
}

// newestEdition asks the protobuf module, which does not export the number.
func newestEdition(t *testing.T) descriptorpb.Edition {
	t.Helper()
	newest := descriptorpb.Edition_EDITION_UNKNOWN
	for number := range descriptorpb.Edition_name {
		edition := descriptorpb.Edition(number)
		// Above are editions for the tests of protobuf itself.
		if edition < descriptorpb.Edition_EDITION_2023 || edition >= descriptorpb.Edition_EDITION_UNSTABLE {
			continue
		}
		file := &descriptorpb.FileDescriptorProto{Name: proto.String("x.proto"), Syntax: proto.String("editions"), Edition: edition.Enum()}
		if _, err := protodesc.NewFile(file, nil); err == nil {
			newest = max(newest, edition)
		}
	}
	if newest == descriptorpb.Edition_EDITION_UNKNOWN {
		t.Fatal("the protobuf module supports no edition")
	}
	return newest
}

func TestServe(t *testing.T) {
	t.Parallel()
	data, err := proto.Marshal(requestFor(readImage(t, goldenDir), module, "root.proto"))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := codegen.New("1").Serve(bytes.NewReader(data), &out); err != nil {
		t.Fatal(err)
	}
	resp := &pluginpb.CodeGeneratorResponse{}
	if err := proto.Unmarshal(out.Bytes(), resp); err != nil {
		t.Fatal(err)
	}
	if resp.Error != nil || len(resp.GetFile()) != 1 {
		t.Errorf("error %q and %d files, want one file", resp.GetError(), len(resp.GetFile()))
	}
	err = codegen.New("1").Serve(strings.NewReader("\xff"), &out)
	if err == nil || !strings.HasPrefix(err.Error(), "standard input holds no request of a compiler: this program is run by buf or protoc, not by hand: ") {
		t.Errorf("rubbish gives %v", err)
	}
}
