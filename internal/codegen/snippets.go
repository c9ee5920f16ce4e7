package codegen

import (
	"github.com/dave/jennifer/jen"
	"google.golang.org/protobuf/compiler/protogen"
)

// The pieces that several emitters share.

// aegis is an identifier of the runtime.
func aegis(name string) *jen.Statement {
	return jen.Qual(runtimePackage, name)
}

// ident is an identifier of a messages' package.
func ident(id protogen.GoIdent) *jen.Statement {
	return jen.Qual(string(id.GoImportPath), id.GoName)
}

// pointer is a pointer to a message type.
func pointer(id protogen.GoIdent) *jen.Statement {
	return jen.Op("*").Add(ident(id))
}

func ctxParam() *jen.Statement {
	return jen.Id("ctx").Add(contextType())
}

func contextType() *jen.Statement {
	return jen.Qual(contextPackage, "Context")
}

// optionsParam is a parameter of any number of the runtime's options.
func optionsParam(option string) *jen.Statement {
	return jen.Id("opts").Op("...").Add(aegis(option))
}

// resultOrError is a pair of results.
func resultOrError(result *jen.Statement) *jen.Statement {
	return jen.Parens(jen.List(result, jen.Error()))
}

// descriptor is an expression for the service's descriptor.
func (s *service) descriptor() *jen.Statement {
	return ident(s.file).Dot("Services").Call().Dot("ByName").Call(jen.Lit(s.name))
}

// multiLine is a list of values, one per line.
func multiLine(values []jen.Code) *jen.Statement {
	if len(values) == 0 {
		return jen.Values()
	}
	return jen.Custom(jen.Options{Open: "{", Close: "}", Separator: ",", Multi: true}, values...)
}

// serviceDoc is the doc comment of something that is declared for a service.
func (s *service) doc(own string, proto comment) comment {
	return paragraphs(wrap(own), proto).deprecated(s.deprecated, s.fullName+" is marked as deprecated.")
}

// doc is the doc comment of a method: that of the .proto, or the fallback, and what
// there is to know besides.
func (m *method) doc(fallback string, besides ...string) comment {
	text := m.comment
	if len(text) == 0 {
		text = wrap(fallback)
	}
	for _, paragraph := range besides {
		text = paragraphs(text, wrap(paragraph))
	}
	return text.deprecated(m.deprecated, m.fullName+" is marked as deprecated.")
}
