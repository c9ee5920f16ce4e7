package codegen

import (
	"fmt"
	"go/build"
	"go/token"
	"io"
	"path"
	"strings"

	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/aegisrpc/aegis/internal/spec"
)

// serviceNames holds the package-level identifiers that are generated for a service,
// but not those for its methods.
type serviceNames struct {
	Name          string // EchoServiceName
	descriptor    string // echoServiceDescriptor
	Client        string // EchoServiceClient
	NewClient     string // NewEchoServiceClient
	clientImpl    string // echoServiceClient
	Server        string // EchoServiceServer
	Register      string // RegisterEchoServiceServer
	Unimplemented string // UnimplementedEchoServiceServer

	// A service without events has none of these.
	Publisher     string // EchoServicePublisher
	NewPublisher  string // NewEchoServicePublisher
	publisherImpl string // echoServicePublisher
	Events        string // EchoServiceEvents
	Subscribe     string // SubscribeEchoServiceEvents
}

func newServiceNames(s *protogen.Service, events bool) serviceNames {
	n := serviceNames{
		Name:          s.GoName + "Name",
		descriptor:    lowerFirst(s.GoName) + "Descriptor",
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

// commentsName returns the identifier of the comments of a file whose first service s is.
func commentsName(s *protogen.Service) string { return lowerFirst(s.GoName) + "Comments" }

// all lists the identifiers. The one that tells a user most about a collision comes
// first.
func (n serviceNames) all() []string {
	names := []string{n.Client, n.NewClient, n.Server, n.Register, n.Unimplemented, n.Name, n.clientImpl, n.descriptor}
	if n.Publisher != "" {
		names = append(names, n.Publisher, n.NewPublisher, n.Events, n.Subscribe, n.publisherImpl)
	}
	return names
}

// methodNames holds the identifiers that are generated for a method.
type methodNames struct {
	Method string // Echo, in the interfaces and their implementations
	field  string // echo, in the struct of the client or of the publisher

	// Package-level identifiers begin with the service's name, so that two services
	// of one Go package may have methods of the same name.
	FullName string // EchoServiceEchoFullName
	Command  string // EchoServiceEchoCommand; "" unless the method is a command
}

func newMethodNames(m *protogen.Method, pattern spec.Pattern) methodNames {
	n := methodNames{Method: m.GoName, FullName: m.Parent.GoName + m.GoName + "FullName"}
	if pattern == spec.Command {
		n.Command = m.Parent.GoName + m.GoName + "Command"
	}
	return n
}

// ofPackage lists the package-level identifiers. The one that tells a user most about a
// collision comes first.
func (n methodNames) ofPackage() []string {
	if n.Command != "" {
		return []string{n.Command, n.FullName}
	}
	return []string{n.FullName}
}

// scope is the package block of one generated package: it knows which service or
// method each identifier belongs to.
type scope struct {
	owners map[string]protoreflect.Descriptor
}

// declare claims identifiers for a service or a method, and reports whether they were
// free. The first identifier that another service or method has claimed is a mistake,
// and then nothing is claimed.
func (sc *scope) declare(owner protoreflect.Descriptor, names []string, found *mistakes) bool {
	for _, name := range names {
		if other, taken := sc.owners[name]; taken {
			found.add(spec.At(owner).Problem("%s of one Go package both need the Go name %s; rename one of them", both(other, owner), name))
			return false
		}
	}
	for _, name := range names {
		sc.owners[name] = owner
	}
	return true
}

// both names two descriptors, each of which is a service or a method.
func both(a, b protoreflect.Descriptor) string {
	kindA, kindB := descriptorKind(a), descriptorKind(b)
	if kindA == kindB {
		return fmt.Sprintf("the %ss %s and %s", kindA, a.FullName(), b.FullName())
	}
	return fmt.Sprintf("the %s %s and the %s %s", kindA, a.FullName(), kindB, b.FullName())
}

func descriptorKind(desc protoreflect.Descriptor) string {
	if _, ok := desc.(protoreflect.MethodDescriptor); ok {
		return "method"
	}
	return "service"
}

// methodScope holds the Go names of one service's methods. All of them share the
// method sets of the interfaces and the fields of the client and the publisher.
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

// declare claims the Go name of a method and a field for it, and reports whether the
// name was free. A name that is taken is a mistake, because the user has chosen it.
// The user does not see the field: it gets underscores until it is free.
func (sc *methodScope) declare(m *protogen.Method, found *mistakes) (field string, free bool) {
	other, taken := sc.methods[m.GoName]
	switch {
	case taken:
		found.add(spec.At(m.Desc).Problem("the methods %s and %s of one service both need the Go name %s; rename one of them",
			other.Name(), m.Desc.Name(), m.GoName))
	case m.GoName == sc.names.Unimplemented:
		found.add(spec.At(m.Desc).Problem("an implementation embeds the type %s and cannot have a method of that name; rename the method", m.GoName))
	case sc.elected && m.GoName == onLeading:
		found.add(spec.At(m.Desc).Problem("the server of a service with single active methods has a method %s of its own; rename this one", onLeading))
	}
	sc.methods[m.GoName] = m.Desc
	field = lowerFirst(m.GoName)
	for token.IsKeyword(field) || sc.fields[field] {
		field += "_"
	}
	sc.fields[field] = true
	return field, !taken
}

// declareAsync reports each method whose name the publisher needs for the
// asynchronous method of a durable event.
func (sc *methodScope) declareAsync(events []*method, found *mistakes) {
	for _, ev := range events {
		if other, taken := sc.methods[ev.names.Method+asyncSuffix]; ev.durable && taken {
			found.add(spec.At(other).Problem("the publisher has a method %s for the durable event %s; rename this one",
				ev.names.Method+asyncSuffix, ev.name))
		}
	}
}

// lowerFirst makes an exported identifier unexported.
func lowerFirst(name string) string {
	return strings.ToLower(name[:1]) + name[1:]
}

// packages knows the Go packages of a run: those of the messages, and those that are
// generated.
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

// check refuses a file if Go would not build the generated package on every system, if
// that package could not import the messages, or if it holds messages of another file.
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

// builtEverywhere reports whether Go builds a file of this name on every system: it asks
// for a system that does not exist.
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
		p.scopes[path] = &scope{owners: map[string]protoreflect.Descriptor{}}
	}
	return p.scopes[path]
}
