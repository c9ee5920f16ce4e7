package codegen

import (
	"github.com/dave/jennifer/jen"
)

// This file has what is generated for services with single active methods alone.

// onLeading is the method that the server of such a service has beside its rpcs.
const onLeading = "OnLeading"

// emitOnLeading adds OnLeading to the server's interface. The type to embed does not
// have it: a service without state has to write an empty one, so that a typo in the
// name does not compile.
func emitOnLeading(g *jen.Group) {
	g.Line()
	wrap(onLeading + " is called when this instance has been elected leader, before the first call of a single active method reaches it: " +
		"load the state here. ctx ends with the term. If it returns an error or panics, this instance gives the leadership back " +
		"and does not stand for election again until a lease has passed. A service without state returns nil.").write(g)
	g.Id(onLeading).Params(ctxParam(), jen.Id("term").Add(aegis("Term"))).Error()
}

// leadingHandler returns an expression that binds OnLeading.
func leadingHandler(s *service) *jen.Statement {
	return aegis("LeadingHandler").Call(jen.Id(s.names.Server).Dot(onLeading))
}
