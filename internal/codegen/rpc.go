package codegen

import (
	"slices"

	"github.com/dave/jennifer/jen"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/aegisrpc/aegis/internal/spec"
)

// rpc is what the kinds of rpcs differ in.
type rpc struct {
	// client and handler begin the names that the runtime has for this kind, on
	// the two sides.
	client, handler string
	// option is what the client's method takes besides.
	option string
	// call is the method of the runtime's type that calls.
	call string
	// request: the client's method has the request as a parameter.
	request bool
	// result is what the client's method returns.
	result func(m *method) *jen.Statement
	// params are the parameters of the server's method behind the context.
	params []param
	// returns is what the server's method returns.
	returns func(m *method) *jen.Statement
	// unimplemented is what the method of the type to embed returns before the
	// error.
	unimplemented []jen.Code
	// trap is what callers have to know that the client's signature does not tell.
	trap string
}

// open is the method of the runtime's types for streams that calls.
const open = "Open"

// param is a parameter of a server's method.
type param struct {
	name string
	typ  func(m *method) *jen.Statement
}

func rpcOf(desc protoreflect.MethodDescriptor) *rpc {
	opts, _ := spec.MethodOptions(desc) // a mistake was found already
	switch {
	case opts.GetBroadcast() != nil:
		return broadcast()
	case opts.GetCommand() != nil:
		return command()
	case desc.IsStreamingClient() && desc.IsStreamingServer():
		return bidiStream()
	case desc.IsStreamingClient():
		return clientStream()
	case desc.IsStreamingServer():
		return serverStream()
	default:
		return unary()
	}
}

const callOption = "CallOption"

// verb is what a client does with a method of the kind.
func (r *rpc) verb() string {
	if r.option == callOption {
		return "calls"
	}
	return "sends"
}

func unary() *rpc {
	return &rpc{
		client: "Unary", handler: "Unary", option: callOption, call: "Call", request: true, result: responseOrError,
		params: []param{requestParam}, returns: responseOrError, unimplemented: []jen.Code{jen.Nil()},
	}
}

// broadcast is handled as a unary method is.
func broadcast() *rpc {
	r := unary()
	r.client = "Broadcast"
	r.result = func(m *method) *jen.Statement {
		return jen.Qual(iterPackage, "Seq").Types(aegis("Reply").Types(ident(m.output)))
	}
	r.trap = "Nothing is sent until the result is ranged over, and each range sends the request anew; " +
		"aegis.CollectReplies ranges over it at once and returns all replies."
	return r
}

// command is handled as a unary method is.
func command() *rpc {
	r := unary()
	r.client, r.option, r.call = "Command", "SendOption", "Send"
	r.result = func(m *method) *jen.Statement { return resultOrError(jen.Op("*").Add(m.commandType())) }
	return r
}

func serverStream() *rpc {
	return &rpc{
		client: "ServerStream", handler: "ServerStream", option: callOption, call: open, request: true,
		result: func(m *method) *jen.Statement { return resultOrError(aegis("Receiver").Types(ident(m.output))) },
		params: []param{requestParam, senderParam}, returns: onlyError,
	}
}

func clientStream() *rpc {
	return &rpc{
		client: "ClientStream", handler: "ClientStream", option: callOption, call: open,
		result: func(m *method) *jen.Statement {
			return resultOrError(aegis("ClientStream").Types(ident(m.input), ident(m.output)))
		},
		params: []param{receiverParam}, returns: responseOrError, unimplemented: []jen.Code{jen.Nil()},
	}
}

func bidiStream() *rpc {
	return &rpc{
		client: "BidiStream", handler: "BidiStream", option: callOption, call: open,
		result: func(m *method) *jen.Statement {
			return resultOrError(aegis("BidiClient").Types(ident(m.input), ident(m.output)))
		},
		params: []param{receiverParam, senderParam}, returns: onlyError,
	}
}

var (
	requestParam  = param{"req", func(m *method) *jen.Statement { return pointer(m.input) }}
	receiverParam = param{"in", func(m *method) *jen.Statement { return aegis("Receiver").Types(ident(m.input)) }}
	senderParam   = param{"out", func(m *method) *jen.Statement { return aegis("Sender").Types(ident(m.output)) }}
)

func responseOrError(m *method) *jen.Statement { return resultOrError(pointer(m.output)) }

func onlyError(*method) *jen.Statement { return jen.Error() }

// methodType is the runtime's type for a method of a client.
func (m *method) methodType() *jen.Statement {
	return aegis(m.rpc.client+"Method").Types(ident(m.input), ident(m.output))
}

// newMethod is an expression for the method of a new client.
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
	wrap(m.names.Method+" "+m.rpc.verb()+" "+m.fullName+".").deprecated(m.deprecated, m.fullName+" is marked as deprecated.").write(g)
	args := []jen.Code{jen.Id("ctx")}
	if m.rpc.request {
		args = append(args, jen.Id("req"))
	}
	args = append(args, jen.Id("opts").Op("..."))
	g.Func().Params(jen.Id("c").Op("*").Id(s.names.clientImpl)).Add(m.clientSignature()).Block(
		jen.Return(jen.Id("c").Dot(m.names.field).Dot(m.rpc.call).Call(args...)),
	)
	g.Line()
}

func (m *method) serverSignature() *jen.Statement {
	params := []jen.Code{ctxParam()}
	for _, p := range m.rpc.params {
		params = append(params, jen.Id(p.name).Add(p.typ(m)))
	}
	return jen.Id(m.names.Method).Params(params...).Add(m.rpc.returns(m))
}

// handler is an expression that binds a method to its handler. A method
// expression leaves it to the runtime to look at a nil implementation.
func (m *method) handler(s *service) *jen.Statement {
	return aegis(m.rpc.handler+"Handler").Call(jen.Lit(m.name), jen.Id(s.names.Server).Dot(m.names.Method)).Dot("FoundBy").Call(m.lookup())
}

// lookup is a function by which the runtime finds out whether an implementation
// has the method from the type to embed. It has the name as a constant, as the
// linker keeps all methods of a program that looks them up by other names.
func (m *method) lookup() *jen.Statement {
	return jen.Func().Params(jen.Id("t").Qual(reflectPackage, "Type")).Parens(jen.List(jen.Qual(reflectPackage, "Method"), jen.Bool())).Block(
		jen.Return(jen.Id("t").Dot("MethodByName").Call(jen.Lit(m.names.Method))),
	)
}

// emitUnimplementedMethod adds a method to Unimplemented<Service>Server.
func emitUnimplementedMethod(g *jen.Group, s *service, m *method) {
	wrap(m.names.Method+" returns an error with CodeUnimplemented.").deprecated(m.deprecated, m.fullName+" is marked as deprecated.").write(g)
	types := []jen.Code{contextType()}
	for _, p := range m.rpc.params {
		types = append(types, p.typ(m))
	}
	results := slices.Concat(m.rpc.unimplemented, []jen.Code{aegis("Unimplemented").Call(jen.Lit(m.fullName))})
	g.Func().Params(jen.Id(s.names.Unimplemented)).Id(m.names.Method).Params(types...).Add(m.rpc.returns(m)).Block(
		jen.Return(results...),
	)
	g.Line()
}
