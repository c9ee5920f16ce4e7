package aegis

import (
	"bytes"

	"google.golang.org/protobuf/proto"

	"github.com/aegisrpc/aegis/internal/wire"
)

// Why a message cannot be read. Who sends JSON by hand, as with nats req, forgets
// the header that says so, and what the protobuf decoder makes of it helps nobody.

// looksLikeJSON reports whether data begin as a message in JSON does.
func looksLikeJSON(data []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte("{"))
}

// unreadableRequest is the error of a request, or of a message of a stream, that is
// none of its type; what says whose it is.
func unreadableRequest(what string, into proto.Message, data []byte, json bool, err error) *Error {
	name := into.ProtoReflect().Descriptor().FullName()
	if !json && looksLikeJSON(data) {
		return Errorf(CodeInvalidArgument, "%s is no valid %s: it begins as JSON does, and no header says that it is; send JSON with the header %s: %s",
			what, name, wire.HeaderContentType, wire.ContentTypeJSON)
	}
	return Errorf(CodeInvalidArgument, "%s is no valid %s: %w", what, name, err)
}

// unreadableStored is the error of an event or a command that is none of its type.
func unreadableStored(into proto.Message, data []byte, err error) *Error {
	name := into.ProtoReflect().Descriptor().FullName()
	if looksLikeJSON(data) {
		return Errorf(CodeInvalidArgument, "it is no valid %s: it begins as JSON does, and events and commands are protobuf alone; "+
			"publish it with a generated client", name)
	}
	return Errorf(CodeInvalidArgument, "it is no valid %s: %w", name, err)
}
