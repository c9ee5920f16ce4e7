package codegen

import (
	"slices"

	"github.com/dave/jennifer/jen"
)

// emitPublisher adds the publisher of a service: an interface, its constructor and its
// implementation. A service without events has none.
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

// publication is one way to publish an event: a durable event has two.
type publication struct {
	method string // the publisher's method
	call   string // the method of the runtime's type that publishes
	doc    string // the doc comment of the publisher's method, without the .proto's
	result *jen.Statement
}

// asyncSuffix ends the name of the method that publishes without waiting.
const asyncSuffix = "Async"

// publications returns the ways to publish an event, the usual one first.
func (m *method) publications() []publication {
	name, async := m.names.Method, m.names.Method+asyncSuffix
	if !m.durable {
		return []publication{{name, "Publish", name + " publishes " + m.fullName + " to the present subscribers.", jen.Error()}}
	}
	return []publication{
		{name, "Publish", name + " publishes " + m.fullName + " and waits until it is stored.", resultOrError(jen.Op("*").Add(aegis("PubAck")))},
		{
			async, "PublishAsync",
			async + " publishes " + m.fullName + " and does not wait until it is stored: the future tells.",
			resultOrError(jen.Op("*").Add(aegis("PubFuture"))),
		},
	}
}

func (p publication) signature(m *method) *jen.Statement {
	return jen.Id(p.method).Params(ctxParam(), jen.Id("ev").Add(pointer(m.input)), optionsParam("PublishOption")).Add(p.result)
}

// emitPublisherInterface adds <Service>Publisher.
func emitPublisherInterface(g *jen.Group, s *service) {
	own := s.names.Publisher + " publishes the events of " + s.fullName + ". " + ofCallers
	if slices.ContainsFunc(s.events, func(m *method) bool { return m.durable }) {
		own += " " + unknownOutcome("durable event", "publish it again with the same aegis.MessageID")
	}
	s.doc(own, s.comment).write(g)
	g.Type().Id(s.names.Publisher).InterfaceFunc(func(g *jen.Group) {
		for _, m := range s.events {
			for i, p := range m.publications() {
				text := m.mark(wrap(p.doc))
				if i == 0 {
					text = m.doc(p.doc)
				}
				text.write(g)
				g.Add(p.signature(m))
			}
		}
	})
	g.Line()
}

// emitPublisherConstructor adds New<Service>Publisher.
func emitPublisherConstructor(g *jen.Group, s *service) {
	s.doc(s.names.NewPublisher+" returns a publisher of the events of "+s.fullName+" over conn. "+whenConstructed, nil).write(g)
	g.Func().Id(s.names.NewPublisher).Params(connParam(), optionsParam("PublisherOption")).
		Add(resultOrError(jen.Id(s.names.Publisher))).BlockFunc(func(g *jen.Group) {
		g.List(jen.Id("pub"), jen.Err()).Op(":=").Add(aegis("NewPublisher")).Call(jen.Id("conn"), s.descriptor(), passOptions())
		g.If(jen.Err().Op("!=").Nil()).Block(jen.Return(jen.Nil(), jen.Err()))
		var fields []jen.Code
		for _, m := range s.events {
			fields = append(fields, jen.Id(m.names.field).Op(":").Add(aegis("New"+m.eventType())).Types(ident(m.input)).Call(jen.Id("pub"), jen.Lit(m.name)))
		}
		g.Return(jen.Op("&").Id(s.names.publisherImpl).Add(multiLine(fields)), jen.Nil())
	})
	g.Line()
}

// eventType returns the name of the runtime's type for an event.
func (m *method) eventType() string {
	if m.durable {
		return "DurableEvent"
	}
	return "CoreEvent"
}

// emitPublisherType adds the type that implements <Service>Publisher.
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
	m.mark(wrap(p.doc)).write(g)
	g.Func().Params(jen.Id("c").Op("*").Id(s.names.publisherImpl)).Add(p.signature(m)).Block(
		jen.Return(jen.Id("c").Dot(m.names.field).Dot(p.call).Call(jen.Id("ctx"), jen.Id("ev"), passOptions())),
	)
	g.Line()
}

// emitSubscriber adds the subscriber of a service: the struct of its handlers and the
// function that subscribes. A service without events has none.
func emitSubscriber(g *jen.Group, s *service) {
	if len(s.events) == 0 {
		return
	}
	emitHandlers(g, s)
	emitSubscribe(g, s)
}

// emitHandlers adds <Service>Events.
func emitHandlers(g *jen.Group, s *service) {
	s.doc(s.names.Events+" holds a subscriber's handlers of the events of "+s.fullName+". An event whose handler is nil is not subscribed to.", nil).write(g)
	g.Type().Id(s.names.Events).StructFunc(func(g *jen.Group) {
		for _, m := range s.events {
			m.doc(m.names.Method + " handles " + m.fullName + ".").write(g)
			g.Id(m.names.Method).Func().Params(ctxParam(), jen.Id("ev").Add(pointer(m.input))).Error()
		}
	})
	g.Line()
}

// emitSubscribe adds Subscribe<Service>Events.
func emitSubscribe(g *jen.Group, s *service) {
	s.doc(s.names.Subscribe+" subscribes srv to the events of "+s.fullName+" that have a handler in h: srv calls the handlers as soon as it runs. "+
		whenRegistered+"if srv has such a subscription already, if h has no handler, or if an option is invalid or does not fit the events.", nil).write(g)
	var handlers []jen.Code
	for _, m := range s.events {
		handlers = append(handlers, aegis("NewEventHandler").Call(jen.Lit(m.name), jen.Id("h").Dot(m.names.Method)))
	}
	g.Func().Id(s.names.Subscribe).Params(
		serverParam(), jen.Id("h").Id(s.names.Events), optionsParam("SubscribeOption"),
	).Error().Block(
		jen.Return(aegis("SubscribeEvents").Call(
			jen.Id("srv"), s.descriptor(), jen.Index().Add(aegis("EventHandler")).Add(multiLine(handlers)), passOptions(),
		)),
	)
	g.Line()
}
