package codegen

import (
	"fmt"

	"github.com/dave/jennifer/jen"
)

// emitClient adds the client of a service: an interface, its constructor and its
// implementation.
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
	own := s.names.Client + " calls the methods of " + s.fullName + ". " + ofCallers +
		" If ctx has no deadline, a call that is not a stream ends after the timeout that the .proto file gives it, by default 5 s."
	if len(s.methods) == 0 {
		own = s.names.Client + " has no methods, because " + s.fullName + " has none that can be called."
	}
	s.doc(own, s.comment).write(g)
	g.Type().Id(s.names.Client).InterfaceFunc(func(g *jen.Group) {
		for _, m := range s.methods {
			m.doc(m.clientDoc(), m.rpc.trap).write(g)
			g.Add(m.clientSignature())
		}
	})
	g.Line()
}

// emitClientConstructor adds New<Service>Client.
func emitClientConstructor(g *jen.Group, s *service) {
	s.doc(s.names.NewClient+" returns a client of "+s.fullName+" over conn. "+
		"Options that a single call takes too apply to all calls of the client, except where a call is given its own. "+whenConstructed, nil).write(g)
	g.Func().Id(s.names.NewClient).Params(connParam(), optionsParam("ClientOption")).
		Add(resultOrError(jen.Id(s.names.Client))).BlockFunc(func(g *jen.Group) {
		newClient := aegis("NewClient").Call(jen.Id("conn"), s.descriptor(), passOptions())
		failed := jen.Err().Op("!=").Nil()
		giveUp := jen.Return(jen.Nil(), jen.Err())
		if len(s.methods) == 0 {
			// The client is not used, but its options are checked.
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

// emitClientType adds the type that implements <Service>Client.
func emitClientType(g *jen.Group, s *service) {
	wrap(s.names.clientImpl + " implements " + s.names.Client + ".").write(g)
	g.Type().Id(s.names.clientImpl).StructFunc(func(g *jen.Group) {
		for _, m := range s.methods {
			g.Id(m.names.field).Op("*").Add(m.methodType())
		}
	})
	g.Line()
}

// clientDoc returns the doc comment of a client's method, without the .proto's.
func (m *method) clientDoc() string {
	return m.names.Method + " " + fmt.Sprintf(m.rpc.does, m.fullName) + "."
}

// methodType returns the runtime's type of a client's method.
func (m *method) methodType() *jen.Statement {
	return aegis(m.rpc.client+"Method").Types(ident(m.input), ident(m.output))
}

// newMethod returns an expression that makes the method of a new client.
func (m *method) newMethod() *jen.Statement {
	return aegis("New"+m.rpc.client+"Method").Types(ident(m.input), ident(m.output)).Call(jen.Id("client"), jen.Lit(m.name))
}

func (m *method) clientSignature() *jen.Statement {
	params := []jen.Code{ctxParam()}
	if m.rpc.request {
		params = append(params, jen.Id("req").Add(pointer(m.input)))
	}
	params = append(params, optionsParam(m.rpc.option))
	return jen.Id(m.names.Method).Params(params...).Add(m.rpc.result(m))
}

// emitClientMethod adds a method to the client's implementation.
func emitClientMethod(g *jen.Group, s *service, m *method) {
	m.mark(wrap(m.clientDoc())).write(g)
	args := []jen.Code{jen.Id("ctx")}
	if m.rpc.request {
		args = append(args, jen.Id("req"))
	}
	args = append(args, passOptions())
	g.Func().Params(jen.Id("c").Op("*").Id(s.names.clientImpl)).Add(m.clientSignature()).Block(
		jen.Return(jen.Id("c").Dot(m.names.field).Dot(m.rpc.call).Call(args...)),
	)
	g.Line()
}
