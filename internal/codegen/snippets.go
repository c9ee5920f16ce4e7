package codegen

import (
	"github.com/dave/jennifer/jen"
	"google.golang.org/protobuf/compiler/protogen"
)

// This file has the pieces of code and of comments that several emitters share.

// aegis returns an identifier of the runtime.
func aegis(name string) *jen.Statement {
	return jen.Qual(runtimePackage, name)
}

// ident returns an identifier of a messages' package.
func ident(id protogen.GoIdent) *jen.Statement {
	return jen.Qual(string(id.GoImportPath), id.GoName)
}

// pointer returns the type of a pointer to a message.
func pointer(id protogen.GoIdent) *jen.Statement {
	return jen.Op("*").Add(ident(id))
}

func ctxParam() *jen.Statement {
	return jen.Id("ctx").Add(contextType())
}

func contextType() *jen.Statement {
	return jen.Qual(contextPackage, "Context")
}

func connParam() *jen.Statement {
	return jen.Id("conn").Op("*").Add(aegis("Conn"))
}

func serverParam() *jen.Statement {
	return jen.Id("srv").Op("*").Add(aegis("Server"))
}

// optionsParam returns a parameter that takes any number of the runtime's options.
func optionsParam(option string) *jen.Statement {
	return jen.Id("opts").Op("...").Add(aegis(option))
}

// passOptions returns the argument that passes on the parameter of optionsParam.
func passOptions() *jen.Statement {
	return jen.Id("opts").Op("...")
}

// resultOrError returns a pair of result types.
func resultOrError(result *jen.Statement) *jen.Statement {
	return jen.Parens(jen.List(result, jen.Error()))
}

// descriptor returns an expression for the service's descriptor.
func (s *service) descriptor() *jen.Statement {
	return jen.Id(s.names.descriptor)
}

// multiLine returns a list of values, one per line.
func multiLine(values []jen.Code) *jen.Statement {
	if len(values) == 0 {
		return jen.Values()
	}
	return jen.Custom(jen.Options{Open: "{", Close: "}", Separator: ",", Multi: true}, values...)
}

// Sentences of the doc comments of several identifiers.
const (
	// ofCallers is about an interface that generated code implements.
	ofCallers = "Several goroutines may use it at once. The error that a method returns is an *aegis.Error or wraps one: aegis.CodeOf returns its code."
	// whenConstructed is about the constructors of clients and publishers.
	whenConstructed = "It returns an error if conn is nil, or if an option is invalid or does not fit the service."
	// whenRegistered begins a sentence about the functions that prepare a server.
	whenRegistered = "It returns an error if Run has been called on srv, "
)

// unknownOutcome returns a sentence about a stored message that is not acknowledged in
// time, and what the caller may do then.
func unknownOutcome(message, again string) string {
	return "If the error has CodeDeadlineExceeded, the " + message + " may be stored or not: " + again + "."
}

// doc returns the doc comment of an identifier that is generated for a service. proto is
// the comment that the service has in the .proto file; nil where it is not repeated.
func (s *service) doc(own string, proto comment) comment {
	return paragraphs(wrap(own), proto).deprecated(s.deprecated, s.fullName)
}

// doc returns the doc comment of a method: the comment that it has in the .proto file, or
// else the fallback; and then the paragraphs in besides that are not empty.
func (m *method) doc(fallback string, besides ...string) comment {
	text := m.comment
	if len(text) == 0 {
		text = wrap(fallback)
	}
	for _, paragraph := range besides {
		text = paragraphs(text, wrap(paragraph))
	}
	return m.mark(text)
}

// mark marks a comment as deprecated if the method is.
func (m *method) mark(c comment) comment {
	return c.deprecated(m.deprecated, m.fullName)
}
