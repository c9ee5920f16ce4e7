package codegen

import (
	"go/token"
	"path"
	"strings"

	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/aegisrpc/aegis/internal/spec"
)

// file is one output file: the services of one .proto file.
type file struct {
	source      string // the .proto file
	output      string // the name of the generated file
	packageName string
	importPath  protogen.GoImportPath
	descriptor  protogen.GoIdent // the variable of the .proto file's descriptor
	deprecated  bool
	services    []*service
	imports     imports
}

// service is one service.
type service struct {
	names      serviceNames
	name       string // EchoService
	fullName   string // echo.v1.EchoService
	file       protogen.GoIdent
	comment    comment
	deprecated bool
	elected    bool      // some method is single active
	methods    []*method // those that are called
	events     []*method
}

// method is one method of a service.
type method struct {
	names      methodNames
	name       string // Echo, or what else the .proto calls it
	fullName   string // echo.v1.EchoService.Echo
	comment    comment
	deprecated bool
	rpc        *rpc
	input      protogen.GoIdent
	output     protogen.GoIdent
	durable    bool // a durable event
}

// newModel checks the files to generate and returns those that have services.
func newModel(plugin *protogen.Plugin) ([]*file, error) {
	found := checkGoPackages(plugin.Request)
	packages := newPackages(plugin, found)
	var files []*file
	for _, f := range plugin.Files {
		if f.Generate && len(f.Services) > 0 {
			files = append(files, newFile(f, packages, found))
		}
	}
	if err := found.err(); err != nil {
		return nil, err
	}
	// Aliases must not collide with identifiers of any file of the package, so
	// they come last.
	for _, f := range files {
		f.imports = newImports(f, packages)
	}
	return files, nil
}

func newFile(f *protogen.File, packages *packages, found *mistakes) *file {
	model := &file{
		source:      f.Desc.Path(),
		output:      outputName(f),
		packageName: outputPackage(f),
		importPath:  outputPath(f),
		descriptor:  f.GoDescriptorIdent,
		deprecated:  f.Proto.GetOptions().GetDeprecated(),
	}
	scope := packages.scope(f)
	for _, s := range f.Services {
		checked, err := spec.FromDescriptor(s.Desc)
		if err != nil {
			found.add(spec.Problems(err)...)
		}
		if checked == nil {
			checked = &spec.Service{} // nothing is generated
		}
		model.services = append(model.services, newService(s, f, checked, scope, found))
	}
	return model
}

func newService(s *protogen.Service, f *protogen.File, checked *spec.Service, scope *scope, found *mistakes) *service {
	specs := make(map[string]*spec.Method, len(checked.Methods))
	events := false
	for _, m := range checked.Methods {
		specs[m.Name] = m
		events = events || m.Event != nil
	}
	opts, _ := s.Desc.Options().(*descriptorpb.ServiceOptions)
	model := &service{
		names:      newServiceNames(s, events),
		name:       string(s.Desc.Name()),
		fullName:   string(s.Desc.FullName()),
		file:       f.GoDescriptorIdent,
		comment:    newComment(s.Comments.Leading),
		deprecated: opts.GetDeprecated(),
		elected:    checked.Election != nil,
	}
	scope.declare(s, model.names, found)
	methods := newMethodScope(s, model.names, model.elected)
	for _, m := range s.Methods {
		opts, _ := m.Desc.Options().(*descriptorpb.MethodOptions)
		added := &method{
			names:      methods.declare(m, found),
			name:       string(m.Desc.Name()),
			fullName:   string(m.Desc.FullName()),
			comment:    newComment(m.Comments.Leading),
			deprecated: opts.GetDeprecated(),
			rpc:        rpcOf(m.Desc),
			input:      m.Input.GoIdent,
			output:     m.Output.GoIdent,
		}
		switch checked := specs[added.name]; {
		case checked == nil: // nothing is generated
		case checked.Event != nil:
			added.durable = checked.Event.Durable
			model.events = append(model.events, added)
		default:
			if checked.Command != nil {
				added.names.Command = scope.declareCommand(m, found)
			}
			model.methods = append(model.methods, added)
		}
	}
	methods.declareAsync(model.events, found)
	return model
}

// The generated package lies in a directory beside the messages, so that it
// never meets the stubs of another generator.

func outputPackage(f *protogen.File) string {
	name := string(f.GoPackageName)
	// protogen puts an underscore before a keyword, which this is none; Go's
	// wildcards would pass over such a directory.
	if bare := strings.TrimLeft(name, "_"); token.IsIdentifier(bare + "aegis") {
		name = bare
	}
	return name + "aegis"
}

func outputPath(f *protogen.File) protogen.GoImportPath {
	return protogen.GoImportPath(path.Join(string(f.GoImportPath), outputPackage(f)))
}

func outputName(f *protogen.File) string {
	dir, base := path.Split(strings.TrimSuffix(f.GeneratedFilenamePrefix, "/"))
	return path.Join(dir, outputPackage(f), base+".aegis.go")
}
