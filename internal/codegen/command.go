package codegen

import (
	"github.com/dave/jennifer/jen"
)

// commandType is the type of a command's handle.
func (m *method) commandType() *jen.Statement {
	return aegis("Command").Types(ident(m.output))
}

// emitCommands adds, for each command of a service, what finds one again.
func emitCommands(g *jen.Group, s *service) {
	for _, m := range s.methods {
		if m.names.Command == "" {
			continue
		}
		wrap(m.names.Command+" returns a handle of the command "+m.fullName+" with this id, whoever sent it. "+
			"What is wrong with the id, or that there is no such command, the handle's methods say.").
			deprecated(m.deprecated, m.fullName+" is marked as deprecated.").write(g)
		g.Func().Id(m.names.Command).Params(jen.Id("conn").Op("*").Add(aegis("Conn")), jen.Id("id").String()).
			Op("*").Add(m.commandType()).Block(
			jen.Return(aegis("NewCommand").Types(ident(m.output)).Call(jen.Id("conn"), s.descriptor(), jen.Lit(m.name), jen.Id("id"))),
		)
		g.Line()
	}
}
