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
	source      string // path of the .proto file
	output      string // path of the generated file
	packageName string
	importPath  protogen.GoImportPath
	descriptor  protogen.GoIdent // the variable with the .proto file's descriptor
	deprecated  bool
	services    []*service
	documented  []documented // the declarations that have comments
	imports     imports
}

// service is one service.
type service struct {
	names      serviceNames
	name       string           // EchoService
	fullName   string           // echo.v1.EchoService
	file       protogen.GoIdent // the variable with the .proto file's descriptor
	comments   string           // the variable with the comments of the .proto file; "" if it has none
	comment    comment
	deprecated bool
	elected    bool      // some method or command is single active
	all        []*method // in the order of the .proto file
	methods    []*method // all but the events
	events     []*method
}

// method is one method of a service.
type method struct {
	names      methodNames
	name       string // Echo: the name in the .proto file
	fullName   string // echo.v1.EchoService.Echo
	comment    comment
	deprecated bool
	rpc        *rpc // nil for an event
	durable    bool // a durable event
	input      protogen.GoIdent
	output     protogen.GoIdent
}

// newModel checks the files of a run and returns those for which code is generated:
// they have services. The error joins all mistakes.
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
	// Aliases must not collide with identifiers of any file of the package, so they are
	// chosen when all files have declared theirs.
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
	model.documented = documentedIn(f)
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
	if len(model.documented) > 0 {
		first := f.Services[0]
		variable := commentsName(first)
		scope.declare(first.Desc, []string{variable}, found)
		for _, s := range model.services {
			s.comments = variable
		}
	}
	return model
}

func newService(s *protogen.Service, f *protogen.File, checked *spec.Service, scope *scope, found *mistakes) *service {
	specs := make(map[string]*spec.Method, len(checked.Methods))
	events := false
	for _, m := range checked.Methods {
		specs[m.Name] = m
		events = events || m.Pattern == spec.Event
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
	// Of a service whose own name is taken, the names of the methods are taken as well:
	// one mistake is enough.
	unique := scope.declare(s.Desc, model.names.all(), found)
	methods := newMethodScope(s, model.names, model.elected)
	for _, m := range s.Methods {
		added := newMethod(m, specs[string(m.Desc.Name())])
		var free bool
		added.names.field, free = methods.declare(m, found)
		if unique && free {
			scope.declare(m.Desc, added.names.ofPackage(), found)
		}
		model.add(added)
	}
	methods.declareAsync(model.events, found)
	return model
}

// newMethod returns the model of a method. checked is nil if the service has mistakes:
// then nothing is generated, but names are still checked.
func newMethod(m *protogen.Method, checked *spec.Method) *method {
	if checked == nil {
		checked = &spec.Method{Desc: m.Desc, Pattern: spec.LoadBalanced}
	}
	opts, _ := m.Desc.Options().(*descriptorpb.MethodOptions)
	return &method{
		names:      newMethodNames(m, checked.Pattern),
		name:       string(m.Desc.Name()),
		fullName:   string(m.Desc.FullName()),
		comment:    newComment(m.Comments.Leading),
		deprecated: opts.GetDeprecated(),
		rpc:        rpcOf(checked),
		durable:    checked.Event != nil && checked.Event.Durable,
		input:      m.Input.GoIdent,
		output:     m.Output.GoIdent,
	}
}

func (s *service) add(m *method) {
	s.all = append(s.all, m)
	if m.rpc == nil {
		s.events = append(s.events, m)
	} else {
		s.methods = append(s.methods, m)
	}
}

// outputPackage returns the name of the generated package, which is also the name of
// its directory. The directory lies beside the messages, so that the package never
// shares one with the code of another generator.
func outputPackage(f *protogen.File) string {
	name := string(f.GoPackageName)
	// protogen puts an underscore before a keyword. With "aegis" behind it the name is
	// no keyword, and Go's wildcards skip directories that begin with an underscore.
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
