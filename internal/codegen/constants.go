package codegen

import (
	"github.com/dave/jennifer/jen"
)

// emitNames adds the full names of a service and its methods as constants, and the
// variable with the service's descriptor.
func emitNames(g *jen.Group, s *service) {
	s.doc(s.names.Name+" is the full name of the service "+s.fullName+".", nil).write(g)
	g.Const().Id(s.names.Name).Op("=").Lit(s.fullName)
	g.Line()
	emitMethodNames(g, s)
	wrap(s.names.descriptor + " is the descriptor of " + s.fullName + ".").write(g)
	descriptor := ident(s.file).Dot("Services").Call().Dot("ByName").Call(jen.Lit(s.name))
	if s.comments != "" {
		descriptor = aegis("Documented").Call(descriptor, jen.Id(s.comments))
	}
	g.Var().Id(s.names.descriptor).Op("=").Add(descriptor)
	g.Line()
}

// emitMethodNames adds the constants <Service><Method>FullName.
func emitMethodNames(g *jen.Group, s *service) {
	if len(s.all) == 0 {
		return
	}
	wrap("These constants are the full names of the methods of " + s.fullName + ", as logs have them: the service's full name, a dot, and the method's name. " +
		"They are untyped, and so can be compared with a string as well as with the FullName of a method's descriptor.").write(g)
	g.Const().DefsFunc(func(g *jen.Group) {
		for _, m := range s.all {
			m.mark(wrap(m.names.FullName + " is the full name of the method " + m.name + ".")).write(g)
			g.Id(m.names.FullName).Op("=").Lit(m.fullName)
		}
	})
	g.Line()
}
