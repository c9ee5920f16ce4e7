// Package body writes and reads the bodies of messages, in protobuf and in JSON.
package body

import (
	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/metadata"
	"github.com/aegisrpc/aegis/runtime/internal/status"
)

// Append appends the body of a message to b, in JSON or not.
func Append(b []byte, m proto.Message, json bool) ([]byte, error) {
	if json {
		return protojson.MarshalOptions{}.MarshalAppend(b, m)
	}
	return proto.MarshalOptions{}.MarshalAppend(b, m)
}

// Unmarshal reads a body that is JSON or not. An empty body is an empty message in JSON, too.
// Fields that this process does not know are those of a newer one, in both.
func Unmarshal(data []byte, json bool, into proto.Message) error {
	switch {
	case !json:
		return proto.Unmarshal(data, into)
	case len(data) == 0:
		proto.Reset(into)
		return nil
	default:
		return protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(data, into)
	}
}

// ReadStored reads an event, or the request of a command, by its content type.
func ReadStored(msg *nats.Msg, into proto.Message) *status.Status {
	if bus.HeaderUnreadable(msg) {
		return bus.UnreadableRequest
	}
	json, why := metadata.ReadContentType(msg.Header)
	if why != nil {
		return why
	}
	if err := Unmarshal(msg.Data, json, into); err != nil {
		return status.UnreadableStored(into, msg.Data, json, err)
	}
	return nil
}
