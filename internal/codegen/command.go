package codegen

import (
	"github.com/dave/jennifer/jen"
)

// commandType returns the type of a command's handle.
func (m *method) commandType() *jen.Statement {
	return aegis("Command").Types(ident(m.output))
}

// emitCommands adds <Service><Method>Command for each command of a service.
func emitCommands(g *jen.Group, s *service) {
	for _, m := range s.methods {
		if m.names.Command == "" {
			continue
		}
		m.mark(wrap(m.names.Command + " returns a handle of the command of " + m.fullName + " with this id, whichever process sent it: " +
			"id is what the method ID of the sender's handle returned. " +
			"The methods of the handle return an error with CodeInvalidArgument if id is malformed. If there is no such command " +
			"they return an error with CodeNotFound, except Status, which returns the state CommandUnknown.")).write(g)
		g.Func().Id(m.names.Command).Params(connParam(), jen.Id("id").String()).Op("*").Add(m.commandType()).Block(
			jen.Return(aegis("NewCommand").Types(ident(m.output)).Call(jen.Id("conn"), s.descriptor(), jen.Lit(m.name), jen.Id("id"))),
		)
		g.Line()
	}
}
