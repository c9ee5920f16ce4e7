package codegen

import (
	"github.com/dave/jennifer/jen"
)

// emitClient adds the client of a service: an interface, its constructor and
// its implementation.
func emitClient(g *jen.Group, s *service) {
	emitClientInterface(g, s)
	emitClientConstructor(g, s)
	emitClientType(g, s)
	for _, m := range s.methods {
		emitClientMethod(g, s, m)
	}
}

// emitClientInterface adds <Service>Client.
func emitClientInterface(g *jen.Group, s *service) {
	s.doc(s.names.Client+" calls the service "+s.fullName+". Its methods may be called by several goroutines at once.", s.comment).write(g)
	g.Type().Id(s.names.Client).InterfaceFunc(func(g *jen.Group) {
		for _, m := range s.methods {
			m.doc(m.names.Method+" "+m.rpc.verb()+" "+m.fullName+".", m.rpc.trap).write(g)
			g.Add(m.clientSignature())
		}
	})
	g.Line()
}

// emitClientConstructor adds New<Service>Client.
func emitClientConstructor(g *jen.Group, s *service) {
	s.doc(s.names.NewClient+" returns a client that calls "+s.fullName+" over conn. "+
		"Options for calls hold for all calls of the client, unless a call is given others.", nil).write(g)
	g.Func().Id(s.names.NewClient).Params(
		jen.Id("conn").Op("*").Add(aegis("Conn")), optionsParam("ClientOption"),
	).Add(resultOrError(jen.Id(s.names.Client))).BlockFunc(func(g *jen.Group) {
		newClient := aegis("NewClient").Call(jen.Id("conn"), s.descriptor(), jen.Id("opts").Op("..."))
		failed := jen.Err().Op("!=").Nil()
		giveUp := jen.Return(jen.Nil(), jen.Err())
		if len(s.methods) == 0 {
			// Nobody needs the client, but its options are checked.
			g.If(jen.List(jen.Id("_"), jen.Err()).Op(":=").Add(newClient), failed).Block(giveUp)
		} else {
			g.List(jen.Id("client"), jen.Err()).Op(":=").Add(newClient)
			g.If(failed).Block(giveUp)
		}
		var fields []jen.Code
		for _, m := range s.methods {
			fields = append(fields, jen.Id(m.names.field).Op(":").Add(m.newMethod()))
		}
		g.Return(jen.Op("&").Id(s.names.clientImpl).Add(multiLine(fields)), jen.Nil())
	})
	g.Line()
}

// emitClientType adds the type behind <Service>Client.
func emitClientType(g *jen.Group, s *service) {
	wrap(s.names.clientImpl + " implements " + s.names.Client + ".").write(g)
	g.Type().Id(s.names.clientImpl).StructFunc(func(g *jen.Group) {
		for _, m := range s.methods {
			g.Id(m.names.field).Op("*").Add(m.methodType())
		}
	})
	g.Line()
}
