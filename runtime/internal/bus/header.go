package bus

import (
	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/runtime/internal/status"
)

// HeaderUnreadable reports whether a message had headers that nats.go cannot read,
// such as an error's text with a line break in it from a server in another language.
// nats.go passes such a message on without any.
func HeaderUnreadable(msg *nats.Msg) bool {
	return msg.Header == nil && msg.Size() > len(msg.Subject)+len(msg.Reply)+len(msg.Data)
}

// The statuses of a reply and of a request whose headers cannot be read.
var (
	UnreadableReply   = status.New(status.Internal, "the header of the reply cannot be read")
	UnreadableRequest = status.New(status.InvalidArgument, "the header of the message cannot be read")
)
