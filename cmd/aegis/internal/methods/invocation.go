package methods

import (
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/aegisrpc/aegis/internal/sample"
	"github.com/aegisrpc/aegis/internal/spec"
)

// Invocation returns the command line that uses a method with a sample of its request.
// flags is what follows the name of the subcommand, such as " --server nats://...", or
// nothing.
func Invocation(m protoreflect.MethodDescriptor, pattern spec.Pattern, flags string) string {
	verb := "call"
	switch pattern {
	case spec.Event:
		verb = "publish"
	case spec.Command:
		verb = "send"
	case spec.LoadBalanced, spec.SingleActive, spec.Broadcast:
	}
	command := "aegis " + verb + flags + " " + string(m.Parent().FullName()) + "/" + string(m.Name())
	request := string(sample.JSON(m.Input()))
	switch {
	case m.IsStreamingClient(): // its messages are lines
		return "echo '" + request + "' | " + command
	case request == "{}" && pattern != spec.Event: // publish without an event reads the standard input
		return command
	default:
		return command + " '" + request + "'"
	}
}
