package codegen

import (
	"go/build"
	"go/token"
	"io"
	"path"
	"strings"

	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/aegisrpc/aegis/internal/spec"
)

// serviceNames holds every identifier that is declared for a service.
type serviceNames struct {
	Name          string // EchoServiceName
	Client        string // EchoServiceClient
	NewClient     string // NewEchoServiceClient
	clientImpl    string // echoServiceClient
	Server        string // EchoServiceServer
	Register      string // RegisterEchoServiceServer
	Unimplemented string // UnimplementedEchoServiceServer

	// Of services with events.
	Publisher     string // EchoServicePublisher
	NewPublisher  string // NewEchoServicePublisher
	publisherImpl string // echoServicePublisher
	Events        string // EchoServiceEvents
	Subscribe     string // SubscribeEchoServiceEvents
}

func newServiceNames(s *protogen.Service, events bool) serviceNames {
	n := serviceNames{
		Name:          s.GoName + "Name",
		Client:        s.GoName + "Client",
		NewClient:     "New" + s.GoName + "Client",
		clientImpl:    lowerFirst(s.GoName) + "Client",
		Server:        s.GoName + "Server",
		Register:      "Register" + s.GoName + "Server",
		Unimplemented: "Unimplemented" + s.GoName + "Server",
	}
	if events {
		n.Publisher, n.NewPublisher = s.GoName+"Publisher", "New"+s.GoName+"Publisher"
		n.publisherImpl = lowerFirst(s.GoName) + "Publisher"
		n.Events, n.Subscribe = s.GoName+"Events", "Subscribe"+s.GoName+"Events"
	}
	return n
}

// all lists the identifiers, the most telling first.
func (n serviceNames) all() []string {
	names := []string{n.Client, n.NewClient, n.Server, n.Register, n.Unimplemented, n.Name, n.clientImpl}
	if n.Publisher != "" {
		names = append(names, n.Publisher, n.NewPublisher, n.Events, n.Subscribe, n.publisherImpl)
	}
	return names
}

// methodNames holds every identifier that is declared for a method.
type methodNames struct {
	Method string // Echo
	field  string // echo, in the client

	Command string // EchoCommand, of a command
}

// scope is the block of one generated package.
type scope struct {
	owners map[string]protoreflect.ServiceDescriptor
}

// declare claims the identifiers of a service. The first identifier that
// another service has claimed is a mistake.
func (sc *scope) declare(s *protogen.Service, names serviceNames, found *mistakes) {
	for _, name := range names.all() {
		if other, taken := sc.owners[name]; taken {
			found.add(spec.At(s.Desc).Problem("the services %s and %s of one Go package both need the Go name %s; rename one of them",
				other.FullName(), s.Desc.FullName(), name))
			return
		}
	}
	for _, name := range names.all() {
		sc.owners[name] = s.Desc
	}
}

// declareCommand claims the name of the function that finds a command again.
func (sc *scope) declareCommand(m *protogen.Method, found *mistakes) string {
	name := m.GoName + "Command"
	if other, taken := sc.owners[name]; taken {
		found.add(spec.At(m.Desc).Problem("the command %s needs the Go name %s, which %s of the same Go package has; rename one of them",
			m.Desc.Name(), name, other.FullName()))
	}
	service, _ := m.Desc.Parent().(protoreflect.ServiceDescriptor)
	sc.owners[name] = service
	return name
}

// methodScope is the method set and the fields of one client and server.
type methodScope struct {
	names   serviceNames
	elected bool
	methods map[string]protoreflect.MethodDescriptor
	fields  map[string]bool
}

func newMethodScope(s *protogen.Service, names serviceNames, elected bool) *methodScope {
	return &methodScope{
		names:   names,
		elected: elected,
		methods: make(map[string]protoreflect.MethodDescriptor, len(s.Methods)),
		fields:  make(map[string]bool, len(s.Methods)),
	}
}

// declare claims the identifiers of a method. Two methods of one Go name are a
// mistake, as the name is the user's; fields are ours and made to fit.
func (sc *methodScope) declare(m *protogen.Method, found *mistakes) methodNames {
	if other, taken := sc.methods[m.GoName]; taken {
		found.add(spec.At(m.Desc).Problem("the methods %s and %s of one service both need the Go name %s; rename one of them",
			other.Name(), m.Desc.Name(), m.GoName))
	} else if m.GoName == sc.names.Unimplemented {
		found.add(spec.At(m.Desc).Problem("an implementation embeds the type %s and cannot have a method of that name; rename the method", m.GoName))
	} else if sc.elected && m.GoName == onLeading {
		found.add(spec.At(m.Desc).Problem("the server of a service with single active methods has a method %s of its own; rename this one", onLeading))
	}
	sc.methods[m.GoName] = m.Desc
	field := lowerFirst(m.GoName)
	for token.IsKeyword(field) || sc.fields[field] {
		field += "_"
	}
	sc.fields[field] = true
	return methodNames{Method: m.GoName, field: field}
}

// declareAsync finds the rpcs whose names the publisher needs for itself.
func (sc *methodScope) declareAsync(events []*method, found *mistakes) {
	for _, ev := range events {
		if other, taken := sc.methods[ev.names.Method+asyncSuffix]; ev.durable && taken {
			found.add(spec.At(other).Problem("the publisher has a method %s for the durable event %s; rename this one",
				ev.names.Method+asyncSuffix, ev.name))
		}
	}
}

// onLeading is the method that the servers of elected services have besides.
const onLeading = "OnLeading"

// lowerFirst makes an exported identifier unexported.
func lowerFirst(name string) string {
	return strings.ToLower(name[:1]) + name[1:]
}

// packages knows the Go packages of a run: those of the messages, and those
// that are generated.
type packages struct {
	names  map[protogen.GoImportPath]protogen.GoPackageName
	scopes map[protogen.GoImportPath]*scope
}

func newPackages(plugin *protogen.Plugin, found *mistakes) *packages {
	p := &packages{
		names:  make(map[protogen.GoImportPath]protogen.GoPackageName, len(plugin.Files)),
		scopes: map[protogen.GoImportPath]*scope{},
	}
	for _, f := range plugin.Files {
		p.names[f.GoImportPath] = f.GoPackageName
	}
	for _, f := range plugin.Files {
		if f.Generate && len(f.Services) > 0 {
			p.check(f, found)
		}
	}
	return p
}

// check refuses Go packages that the generated code cannot live beside.
func (p *packages) check(f *protogen.File, found *mistakes) {
	at := spec.At(f.Services[0].Desc)
	if name := path.Base(outputName(f)); !builtEverywhere(name) {
		found.add(at.Problem("Go does not build %s and the file with the messages: it takes a name that ends in an operating system or a processor, as _js or _arm, "+
			"for one of that system alone, and passes over one that begins with _ or a dot; give the .proto file another name", name))
	}
	if f.GoPackageName == "main" {
		found.add(at.Problem("the messages are in a Go package main, which nothing can import; write another package in go_package, such as %q",
			string(f.GoImportPath)+";echov1"))
	}
	if _, taken := p.names[outputPath(f)]; taken {
		found.add(at.Problem("the code of this service belongs in the Go package %q, which holds the messages of another file; write another go_package there",
			string(outputPath(f))))
	}
}

// builtEverywhere reports whether Go builds a file of this name on every system.
func builtEverywhere(name string) bool {
	nowhere := build.Context{
		GOOS: "none", GOARCH: "none", Compiler: "gc",
		OpenFile: func(string) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("package p\n")), nil },
	}
	built, err := nowhere.MatchFile("", name)
	return built && err == nil
}

// scope returns the scope of the package that is generated for a file.
func (p *packages) scope(f *protogen.File) *scope {
	path := outputPath(f)
	if p.scopes[path] == nil {
		p.scopes[path] = &scope{owners: map[string]protoreflect.ServiceDescriptor{}}
	}
	return p.scopes[path]
}
