package status

import (
	"bytes"

	"google.golang.org/protobuf/proto"

	"github.com/aegisrpc/aegis/internal/wire"
)

// A caller that sends JSON by hand, as with nats req, easily leaves out the header that
// says so, and the error of the protobuf decoder would not help.

// looksLikeJSON reports whether data begin as a message in JSON does.
func looksLikeJSON(data []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte("{"))
}

// UnreadableRequest is the status of a request, or of a message of a stream, that is
// not of its type. subject is the beginning of the text, such as "the request of" and a
// method; json is the content type that the request said.
func UnreadableRequest(subject string, into proto.Message, data []byte, json bool, err error) *Status {
	return unreadable(subject, "send", into, data, json, err)
}

// UnreadableStored is the status of an event or a command that is not of its type.
func UnreadableStored(into proto.Message, data []byte, json bool, err error) *Status {
	return unreadable("it", "publish", into, data, json, err)
}

func unreadable(subject, verb string, into proto.Message, data []byte, json bool, err error) *Status {
	name := into.ProtoReflect().Descriptor().FullName()
	if !json && looksLikeJSON(data) {
		return Newf(InvalidArgument, "%s is no valid %s: it begins as JSON does, and no header says that it is; %s JSON with the header %s: %s",
			subject, name, verb, wire.HeaderContentType, wire.ContentTypeJSON)
	}
	return Newf(InvalidArgument, "%s is no valid %s: %w", subject, name, err)
}
