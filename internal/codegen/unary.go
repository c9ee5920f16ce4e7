package codegen

import (
	"github.com/dave/jennifer/jen"
)

// What is particular to unary methods.

// unaryMethodType is the runtime's type for a method of a client.
func unaryMethodType(m *method) *jen.Statement {
	return aegis("UnaryMethod").Types(ident(m.input), ident(m.output))
}

// newUnaryMethod is an expression for the method of a new client.
func newUnaryMethod(m *method) *jen.Statement {
	return aegis("NewUnaryMethod").Types(ident(m.input), ident(m.output)).Call(jen.Id("client"), jen.Lit(m.name))
}

func unaryClientSignature(m *method) *jen.Statement {
	return jen.Id(m.names.Method).Params(
		ctxParam(), jen.Id("req").Add(pointer(m.input)), optionsParam("CallOption"),
	).Add(resultOrError(pointer(m.output)))
}

// emitUnaryClientMethod adds a method to the client's implementation.
func emitUnaryClientMethod(g *jen.Group, s *service, m *method) {
	wrap(m.names.Method+" calls "+m.fullName+".").deprecated(m.deprecated, m.fullName+" is marked as deprecated.").write(g)
	g.Func().Params(jen.Id("c").Op("*").Id(s.names.clientImpl)).Add(unaryClientSignature(m)).Block(
		jen.Return(jen.Id("c").Dot(m.names.field).Dot("Call").Call(jen.Id("ctx"), jen.Id("req"), jen.Id("opts").Op("..."))),
	)
	g.Line()
}

func unaryServerSignature(m *method) *jen.Statement {
	return jen.Id(m.names.Method).Params(ctxParam(), jen.Id("req").Add(pointer(m.input))).Add(resultOrError(pointer(m.output)))
}

// unaryHandler is an expression that binds a method to its handler. A method
// expression leaves it to the runtime to look at a nil implementation.
func unaryHandler(s *service, m *method) *jen.Statement {
	return aegis("UnaryHandler").Call(jen.Lit(m.name), jen.Id(s.names.Server).Dot(m.names.Method))
}

// emitUnimplementedUnary adds a method to Unimplemented<Service>Server.
func emitUnimplementedUnary(g *jen.Group, s *service, m *method) {
	wrap(m.names.Method+" returns an error with CodeUnimplemented.").deprecated(m.deprecated, m.fullName+" is marked as deprecated.").write(g)
	g.Func().Params(jen.Id(s.names.Unimplemented)).Id(m.names.Method).Params(
		contextType(), pointer(m.input),
	).Add(resultOrError(pointer(m.output))).Block(
		jen.Return(jen.Nil(), aegis("Unimplemented").Call(jen.Lit(m.fullName))),
	)
	g.Line()
}
