package codegen

import (
	"github.com/dave/jennifer/jen"
)

// emitServer adds what a server of a service needs: the interface, its
// registration, and an implementation to embed.
func emitServer(g *jen.Group, s *service) {
	emitServerInterface(g, s)
	emitRegistration(g, s)
	emitUnimplemented(g, s)
}

// emitServerInterface adds <Service>Server.
func emitServerInterface(g *jen.Group, s *service) {
	s.doc(s.names.Server+" is what a server of "+s.fullName+" implements. Its methods are called by several goroutines at once. "+
		"Embed "+s.names.Unimplemented+" to implement some of them only.", s.comment).write(g)
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
	s.doc(s.names.Register+" adds the service "+s.fullName+" to srv, which serves it with impl once it runs.", nil).write(g)
	var handlers []jen.Code
	for _, m := range s.methods {
		handlers = append(handlers, m.handler(s))
	}
	if s.elected {
		handlers = append(handlers, leadingHandler(s))
	}
	g.Func().Id(s.names.Register).Params(
		jen.Id("srv").Op("*").Add(aegis("Server")), jen.Id("impl").Id(s.names.Server), optionsParam("ServiceOption"),
	).Error().Block(
		jen.Return(aegis("RegisterService").Call(
			jen.Id("srv"), s.descriptor(), jen.Id("impl"),
			jen.Index().Add(aegis("Handler")).Types(jen.Id(s.names.Server)).Add(multiLine(handlers)),
			jen.Id("opts").Op("..."),
		)),
	)
	g.Line()
}

// emitUnimplemented adds Unimplemented<Service>Server.
func emitUnimplemented(g *jen.Group, s *service) {
	s.doc(s.names.Unimplemented+" answers every method with CodeUnimplemented. "+
		"An implementation that embeds it still compiles when the service has got another method.", nil).write(g)
	g.Type().Id(s.names.Unimplemented).Struct()
	g.Line()
	for _, m := range s.methods {
		emitUnimplementedMethod(g, s, m)
	}
}
