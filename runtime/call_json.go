package aegis

import (
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// How bodies of the content type JSON are written and read.
var (
	marshalJSON = protojson.MarshalOptions{UseProtoNames: false}
	// Fields that this process does not know are those of a newer one, as in protobuf.
	unmarshalJSON = protojson.UnmarshalOptions{DiscardUnknown: true}
)

// marshalBody writes the body of a message, in JSON or not.
func marshalBody(m proto.Message, json bool) ([]byte, error) {
	if json {
		return marshalJSON.Marshal(m)
	}
	return proto.Marshal(m)
}

// unmarshalBody reads the body of a message that is JSON or not. An empty body is an
// empty message in JSON, too.
func unmarshalBody(data []byte, json bool, into proto.Message) error {
	if !json {
		return proto.Unmarshal(data, into)
	}
	if len(data) == 0 {
		return nil
	}
	return unmarshalJSON.Unmarshal(data, into)
}
