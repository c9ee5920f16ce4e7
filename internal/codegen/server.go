package codegen

import (
	"slices"

	"github.com/dave/jennifer/jen"
)

// emitServer adds the server's side of a service: the interface, its registration, and
// a type to embed in implementations.
func emitServer(g *jen.Group, s *service) {
	emitServerInterface(g, s)
	emitRegistration(g, s)
	emitUnimplemented(g, s)
}

// emitServerInterface adds <Service>Server.
func emitServerInterface(g *jen.Group, s *service) {
	s.doc(s.names.Server+" is implemented by the servers of "+s.fullName+". Several goroutines call its methods at once. "+
		"A method may return any error: the caller gets the code that aegis.CodeOf returns for it. "+
		"Embed "+s.names.Unimplemented+" to implement only some of the methods.", s.comment).write(g)
	g.Type().Id(s.names.Server).InterfaceFunc(func(g *jen.Group) {
		for _, m := range s.methods {
			m.doc(m.names.Method + " handles " + m.fullName + ".").write(g)
			g.Add(m.serverSignature())
		}
		if s.elected {
			emitOnLeading(g)
		}
	})
	g.Line()
}

// emitRegistration adds Register<Service>Server.
func emitRegistration(g *jen.Group, s *service) {
	s.doc(s.names.Register+" adds the service "+s.fullName+" to srv, which serves it with the methods of impl as soon as it runs. "+
		whenRegistered+"if srv has the service already, if impl is nil, or if an option is invalid or does not fit the service.", nil).write(g)
	var handlers []jen.Code
	for _, m := range s.methods {
		handlers = append(handlers, m.handler(s))
	}
	if s.elected {
		handlers = append(handlers, leadingHandler(s))
	}
	g.Func().Id(s.names.Register).Params(
		serverParam(), jen.Id("impl").Id(s.names.Server), optionsParam("ServiceOption"),
	).Error().Block(
		jen.Return(aegis("RegisterService").Call(
			jen.Id("srv"), s.descriptor(), jen.Id("impl"),
			jen.Index().Add(aegis("Handler")).Types(jen.Id(s.names.Server)).Add(multiLine(handlers)),
			passOptions(),
		)),
	)
	g.Line()
}

func (m *method) serverSignature() *jen.Statement {
	params := []jen.Code{ctxParam()}
	for _, p := range m.rpc.params {
		params = append(params, jen.Id(p.name).Add(p.typ(m)))
	}
	return jen.Id(m.names.Method).Params(params...).Add(m.rpc.returns(m))
}

// handler returns an expression that binds a method to its handler. It is a method
// expression, so that the runtime can check for a nil implementation.
func (m *method) handler(s *service) *jen.Statement {
	return aegis(m.rpc.handler+"Handler").Call(jen.Lit(m.name), jen.Id(s.names.Server).Dot(m.names.Method)).Dot("FoundBy").Call(m.lookup())
}

// lookup returns a function by which the runtime finds out whether an implementation has
// the method from the type to embed. The function passes a constant to MethodByName,
// because the linker keeps all methods of a program that passes anything else.
func (m *method) lookup() *jen.Statement {
	return jen.Func().Params(jen.Id("t").Qual(reflectPackage, "Type")).Parens(jen.List(jen.Qual(reflectPackage, "Method"), jen.Bool())).Block(
		jen.Return(jen.Id("t").Dot("MethodByName").Call(jen.Lit(m.names.Method))),
	)
}

// emitUnimplemented adds Unimplemented<Service>Server.
func emitUnimplemented(g *jen.Group, s *service) {
	s.doc(s.names.Unimplemented+" has all methods of the service, and each returns an error with CodeUnimplemented. "+
		"An implementation that embeds it by value still compiles when the service gets another method. "+
		"A server does not offer the methods that an implementation has from it, unless it was registered with aegis.WithUnimplemented.", nil).write(g)
	g.Type().Id(s.names.Unimplemented).Struct()
	g.Line()
	for _, m := range s.methods {
		emitUnimplementedMethod(g, s, m)
	}
}

// emitUnimplementedMethod adds a method to Unimplemented<Service>Server.
func emitUnimplementedMethod(g *jen.Group, s *service, m *method) {
	m.mark(wrap(m.names.Method + " returns an error with CodeUnimplemented.")).write(g)
	types := []jen.Code{contextType()}
	for _, p := range m.rpc.params {
		types = append(types, p.typ(m))
	}
	results := slices.Concat(m.rpc.unimplemented, []jen.Code{aegis("Unimplemented").Call(jen.Id(m.names.FullName))})
	g.Func().Params(jen.Id(s.names.Unimplemented)).Id(m.names.Method).Params(types...).Add(m.rpc.returns(m)).Block(
		jen.Return(results...),
	)
	g.Line()
}
