package codegen

import (
	"github.com/dave/jennifer/jen"
)

// What is particular to events.

// emitPublisher adds the publisher of a service: an interface, its constructor
// and its implementation. A service without events has none.
func emitPublisher(g *jen.Group, s *service) {
	if len(s.events) == 0 {
		return
	}
	emitPublisherInterface(g, s)
	emitPublisherConstructor(g, s)
	emitPublisherType(g, s)
	for _, m := range s.events {
		for _, p := range m.publications() {
			emitPublisherMethod(g, s, m, p)
		}
	}
}

// publication is one way to publish an event.
type publication struct {
	method string // of the publisher
	call   string // of the runtime's type
	doc    string
	result *jen.Statement
}

func (m *method) publications() []publication {
	if !m.durable {
		return []publication{{m.names.Method, "Publish", " publishes " + m.fullName + ".", jen.Error()}}
	}
	return []publication{
		{m.names.Method, "Publish", " publishes " + m.fullName + " and waits until it is stored.", resultOrError(jen.Op("*").Add(aegis("PubAck")))},
		{
			m.names.Method + asyncSuffix, "PublishAsync",
			" publishes " + m.fullName + " and does not wait until it is stored.", resultOrError(jen.Op("*").Add(aegis("PubFuture"))),
		},
	}
}

// asyncSuffix ends the name of the method that publishes without waiting.
const asyncSuffix = "Async"

func (p publication) signature(m *method) *jen.Statement {
	return jen.Id(p.method).Params(ctxParam(), jen.Id("ev").Add(pointer(m.input)), optionsParam("PublishOption")).Add(p.result)
}

// emitPublisherInterface adds <Service>Publisher.
func emitPublisherInterface(g *jen.Group, s *service) {
	s.doc(s.names.Publisher+" publishes the events of "+s.fullName+". Its methods may be called by several goroutines at once.", s.comment).write(g)
	g.Type().Id(s.names.Publisher).InterfaceFunc(func(g *jen.Group) {
		for _, m := range s.events {
			for i, p := range m.publications() {
				if i == 0 {
					m.doc(p.method + p.doc).write(g)
				} else {
					wrap(p.method+p.doc).deprecated(m.deprecated, m.fullName+" is marked as deprecated.").write(g)
				}
				g.Add(p.signature(m))
			}
		}
	})
	g.Line()
}

// emitPublisherConstructor adds New<Service>Publisher.
func emitPublisherConstructor(g *jen.Group, s *service) {
	s.doc(s.names.NewPublisher+" returns a publisher of the events of "+s.fullName+" over conn.", nil).write(g)
	g.Func().Id(s.names.NewPublisher).Params(
		jen.Id("conn").Op("*").Add(aegis("Conn")), optionsParam("PublisherOption"),
	).Add(resultOrError(jen.Id(s.names.Publisher))).BlockFunc(func(g *jen.Group) {
		g.List(jen.Id("pub"), jen.Err()).Op(":=").Add(aegis("NewPublisher")).Call(jen.Id("conn"), s.descriptor(), jen.Id("opts").Op("..."))
		g.If(jen.Err().Op("!=").Nil()).Block(jen.Return(jen.Nil(), jen.Err()))
		var fields []jen.Code
		for _, m := range s.events {
			fields = append(fields, jen.Id(m.names.field).Op(":").Add(aegis("New"+m.eventType())).Types(ident(m.input)).Call(jen.Id("pub"), jen.Lit(m.name)))
		}
		g.Return(jen.Op("&").Id(s.names.publisherImpl).Add(multiLine(fields)), jen.Nil())
	})
	g.Line()
}

// eventType is the runtime's type for an event.
func (m *method) eventType() string {
	if m.durable {
		return "DurableEvent"
	}
	return "CoreEvent"
}

// emitPublisherType adds the type behind <Service>Publisher.
func emitPublisherType(g *jen.Group, s *service) {
	wrap(s.names.publisherImpl + " implements " + s.names.Publisher + ".").write(g)
	g.Type().Id(s.names.publisherImpl).StructFunc(func(g *jen.Group) {
		for _, m := range s.events {
			g.Id(m.names.field).Op("*").Add(aegis(m.eventType())).Types(ident(m.input))
		}
	})
	g.Line()
}

// emitPublisherMethod adds a method to the publisher's implementation.
func emitPublisherMethod(g *jen.Group, s *service, m *method, p publication) {
	wrap(p.method+p.doc).deprecated(m.deprecated, m.fullName+" is marked as deprecated.").write(g)
	g.Func().Params(jen.Id("c").Op("*").Id(s.names.publisherImpl)).Add(p.signature(m)).Block(
		jen.Return(jen.Id("c").Dot(m.names.field).Dot(p.call).Call(jen.Id("ctx"), jen.Id("ev"), jen.Id("opts").Op("..."))),
	)
	g.Line()
}

// emitSubscriber adds <Service>Events and Subscribe<Service>Events.
func emitSubscriber(g *jen.Group, s *service) {
	if len(s.events) == 0 {
		return
	}
	s.doc(s.names.Events+" are the handlers of a subscriber to the events of "+s.fullName+". Those that are nil are not subscribed to.", nil).write(g)
	g.Type().Id(s.names.Events).StructFunc(func(g *jen.Group) {
		for _, m := range s.events {
			m.doc(m.names.Method + " handles " + m.fullName + ".").write(g)
			g.Id(m.names.Method).Func().Params(ctxParam(), jen.Id("ev").Add(pointer(m.input))).Error()
		}
	})
	g.Line()
	s.doc(s.names.Subscribe+" has srv handle the events of "+s.fullName+" with h once it runs.", nil).write(g)
	var handlers []jen.Code
	for _, m := range s.events {
		handlers = append(handlers, aegis("NewEventHandler").Call(jen.Lit(m.name), jen.Id("h").Dot(m.names.Method)))
	}
	g.Func().Id(s.names.Subscribe).Params(
		jen.Id("srv").Op("*").Add(aegis("Server")), jen.Id("h").Id(s.names.Events), optionsParam("SubscribeOption"),
	).Error().Block(
		jen.Return(aegis("SubscribeEvents").Call(
			jen.Id("srv"), s.descriptor(), jen.Index().Add(aegis("EventHandler")).Add(multiLine(handlers)), jen.Id("opts").Op("..."),
		)),
	)
	g.Line()
}
