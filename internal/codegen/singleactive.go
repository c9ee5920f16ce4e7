package codegen

import (
	"github.com/dave/jennifer/jen"
)

// What is particular to services with single active methods.

// emitOnLeading adds OnLeading to the server's interface. The type to embed does
// not have it: a service without state writes an empty one, so that a typo in
// its name does not compile.
func emitOnLeading(g *jen.Group) {
	g.Line()
	wrap(onLeading + " is called when this instance was elected leader, before the first call of a single active method is let in: " +
		"load the state here. ctx ends with the term. If it returns an error or panics, the leadership is given back, and " +
		"this instance does not stand for a lease. A service without state returns nil.").write(g)
	g.Id(onLeading).Params(ctxParam(), jen.Id("term").Add(aegis("Term"))).Error()
}

// leadingHandler is an expression that binds OnLeading.
func leadingHandler(s *service) *jen.Statement {
	return aegis("LeadingHandler").Call(jen.Id(s.names.Server).Dot(onLeading))
}
