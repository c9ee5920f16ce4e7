package codegen

import (
	"github.com/dave/jennifer/jen"

	"github.com/aegisrpc/aegis/internal/spec"
)

// rpc is a kind of method that is called, as opposed to an event. It holds everything
// in which the kinds differ.
type rpc struct {
	// client and handler begin the names that the runtime has for this kind, at the
	// client and at the server.
	client, handler string
	// does says in the doc comment of a client's method what a call does, with %s for
	// the method's full name.
	does string
	// trap is a paragraph for callers about what the client's signature does not tell;
	// "" for none.
	trap string
	// option is the type of the options of the client's method.
	option string
	// call is the method of the runtime's type that makes the call.
	call string
	// request reports whether the client's method has the request as a parameter.
	request bool
	// result makes the result types of the client's method.
	result func(m *method) *jen.Statement
	// params are the parameters of the server's method behind the context.
	params []param
	// returns makes the result types of the server's method.
	returns func(m *method) *jen.Statement
	// unimplemented are the results before the error that the method of the type to
	// embed returns.
	unimplemented []jen.Code
}

// param is a parameter of a server's method.
type param struct {
	name string
	typ  func(m *method) *jen.Statement
}

// rpcOf returns the kind of a method; nil for an event, which is not called.
func rpcOf(m *spec.Method) *rpc {
	switch m.Pattern {
	case spec.Event:
		return nil
	case spec.Broadcast:
		return broadcast()
	case spec.Command:
		return command()
	case spec.LoadBalanced, spec.SingleActive:
	}
	switch {
	case m.Desc.IsStreamingClient() && m.Desc.IsStreamingServer():
		return bidiStream()
	case m.Desc.IsStreamingClient():
		return clientStream()
	case m.Desc.IsStreamingServer():
		return serverStream()
	default:
		return unary()
	}
}

func unary() *rpc {
	return &rpc{
		client: "Unary", handler: "Unary", does: "calls %s", option: callOption, call: "Call", request: true, result: responseOrError,
		params: []param{requestParam}, returns: responseOrError, unimplemented: []jen.Code{jen.Nil()},
	}
}

// broadcast returns the kind of a broadcast, whose handler is that of a unary method.
func broadcast() *rpc {
	r := unary()
	r.client, r.does = "Broadcast", "sends a request of %s to every instance that serves it"
	r.trap = "Nothing is sent until the result is ranged over, and each range sends the request anew; " +
		"aegis.CollectReplies ranges over it at once and returns all replies."
	r.result = func(m *method) *jen.Statement {
		return jen.Qual(iterPackage, "Seq").Types(aegis("Reply").Types(ident(m.output)))
	}
	return r
}

// command returns the kind of a command, whose handler is that of a unary method.
func command() *rpc {
	r := unary()
	r.client, r.option, r.call = "Command", "SendOption", "Send"
	r.does = "stores a command of %s and returns a handle of it"
	r.trap = unknownOutcome("command", "send it again only with the same aegis.DedupeKey")
	r.result = func(m *method) *jen.Statement { return resultOrError(jen.Op("*").Add(m.commandType())) }
	return r
}

func serverStream() *rpc {
	return &rpc{
		client: "ServerStream", handler: "ServerStream", does: "opens a stream of responses of %s", option: callOption, call: open, request: true,
		result: func(m *method) *jen.Statement { return resultOrError(aegis("Receiver").Types(ident(m.output))) },
		params: []param{requestParam, senderParam}, returns: onlyError,
	}
}

func clientStream() *rpc {
	return &rpc{
		client: "ClientStream", handler: "ClientStream", does: "opens a stream of requests of %s", option: callOption, call: open,
		result: func(m *method) *jen.Statement {
			return resultOrError(aegis("UploadStream").Types(ident(m.input), ident(m.output)))
		},
		params: []param{receiverParam}, returns: responseOrError, unimplemented: []jen.Code{jen.Nil()},
	}
}

func bidiStream() *rpc {
	return &rpc{
		client: "BidiStream", handler: "BidiStream", does: "opens a stream of requests and responses of %s", option: callOption, call: open,
		result: func(m *method) *jen.Statement {
			return resultOrError(aegis("BidiStream").Types(ident(m.input), ident(m.output)))
		},
		params: []param{receiverParam, senderParam}, returns: onlyError,
	}
}

const (
	// callOption is the type of the options of a call.
	callOption = "CallOption"
	// open is the method of the runtime's types that opens a stream.
	open = "Open"
)

var (
	requestParam  = param{"req", func(m *method) *jen.Statement { return pointer(m.input) }}
	receiverParam = param{"in", func(m *method) *jen.Statement { return aegis("Receiver").Types(ident(m.input)) }}
	senderParam   = param{"out", func(m *method) *jen.Statement { return aegis("Sender").Types(ident(m.output)) }}
)

func responseOrError(m *method) *jen.Statement { return resultOrError(pointer(m.output)) }

func onlyError(*method) *jen.Statement { return jen.Error() }
