package generate

import (
	"errors"
	"flag"
	"fmt"

	gengo "google.golang.org/protobuf/cmd/protoc-gen-go/internal_gengo"
	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/gofeaturespb"
	"google.golang.org/protobuf/types/pluginpb"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/bufconfig"
	"github.com/aegisrpc/aegis/internal/codegen"
	aegisv1 "github.com/aegisrpc/aegis/proto/aegis/v1"
)

// plugin is one of the plugins that the command has in itself.
type plugin struct {
	// extensions are the options that the plugin knows when it is a program. It sees all
	// others as bytes, and writes them so into the descriptors of generated code.
	extensions []protoreflect.ExtensionType
	respond    func(*pluginpb.CodeGeneratorRequest) *pluginpb.CodeGeneratorResponse
}

var plugins = map[bufconfig.Known]plugin{
	bufconfig.Go: {
		extensions: []protoreflect.ExtensionType{gofeaturespb.E_Go},
		respond:    respondGo,
	},
	bufconfig.Aegis: {
		extensions: []protoreflect.ExtensionType{gofeaturespb.E_Go, aegisv1.E_Method, aegisv1.E_Service},
		respond: func(req *pluginpb.CodeGeneratorRequest) *pluginpb.CodeGeneratorResponse {
			return codegen.New(codegen.Version).Respond(req)
		},
	},
}

// run gives the plugin a request as a program would read it, and returns its response. The
// error is that of the plugin.
func (p plugin) run(req *pluginpb.CodeGeneratorRequest) (*pluginpb.CodeGeneratorResponse, error) {
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(req)
	if err != nil {
		return nil, err
	}
	known := &protoregistry.Types{}
	for _, extension := range p.extensions {
		if err := known.RegisterExtension(extension); err != nil {
			return nil, err
		}
	}
	seen := &pluginpb.CodeGeneratorRequest{}
	if err := (proto.UnmarshalOptions{Resolver: known}).Unmarshal(data, seen); err != nil {
		return nil, err
	}
	resp := p.respond(seen)
	if text := resp.GetError(); text != "" {
		return nil, errors.New(text)
	}
	return resp, checkEditions(req, resp)
}

// checkEditions refuses files of an edition that the plugin does not know.
func checkEditions(req *pluginpb.CodeGeneratorRequest, resp *pluginpb.CodeGeneratorResponse) error {
	wanted := make(map[string]bool)
	for _, name := range req.GetFileToGenerate() {
		wanted[name] = true
	}
	var errs []error
	for _, f := range req.GetProtoFile() {
		if wanted[f.GetName()] && f.GetSyntax() == "editions" && int32(f.GetEdition()) > resp.GetMaximumEdition() {
			errs = append(errs, fmt.Errorf("%s: the plugin does not support %s", f.GetName(), f.GetEdition()))
		}
	}
	return errors.Join(errs...)
}

// respondGo is protoc-gen-go, whose main function cannot be called.
func respondGo(req *pluginpb.CodeGeneratorRequest) *pluginpb.CodeGeneratorResponse {
	var flags flag.FlagSet
	nested := flags.String("plugins", "", "")
	strip := flags.Bool("experimental_strip_nonfunctional_codegen", false, "")
	gen, err := protogen.Options{ParamFunc: flags.Set, InternalStripForEditionsDiff: strip}.New(req)
	if err != nil {
		return &pluginpb.CodeGeneratorResponse{Error: proto.String(err.Error())}
	}
	if *nested != "" {
		gen.Error(errors.New("the option plugins of protoc-gen-go is not supported any more"))
	}
	if err := asProgram(gen); err != nil {
		gen.Error(err)
		return gen.Response()
	}
	for _, f := range gen.Files {
		if f.Generate {
			gengo.GenerateFile(gen, f)
		}
	}
	gen.SupportedFeatures = gengo.SupportedFeatures
	gen.SupportedEditionsMinimum = gengo.SupportedEditionsMinimum
	gen.SupportedEditionsMaximum = gengo.SupportedEditionsMaximum
	return gen.Response()
}

// asProgram has the descriptors of all files read as the program protoc-gen-go reads them:
// it takes the types of options from the files of the request, as it knows no others, and
// writes options with a type in another order than options without. Here the options of
// Aegis are known to the process, and protogen would leave them without.
func asProgram(gen *protogen.Plugin) error {
	known := &protoregistry.Types{}
	if err := known.RegisterExtension(gofeaturespb.E_Go); err != nil {
		return err
	}
	for _, f := range gen.Files {
		for i := range f.Desc.Extensions().Len() {
			extension := f.Desc.Extensions().Get(i)
			if extension.FullName() == gofeaturespb.E_Go.TypeDescriptor().FullName() {
				continue
			}
			if err := known.RegisterExtension(dynamicpb.NewExtensionType(extension)); err != nil {
				return err
			}
		}
	}
	for _, f := range gen.Files {
		data, err := proto.MarshalOptions{Deterministic: true}.Marshal(f.Proto)
		if err != nil {
			return err
		}
		if err := (proto.UnmarshalOptions{Resolver: known}).Unmarshal(data, f.Proto); err != nil {
			return err
		}
	}
	return nil
}
