package aegis

import "google.golang.org/protobuf/encoding/protojson"

// How bodies of the content type JSON are written and read.
var (
	marshalJSON = protojson.MarshalOptions{UseProtoNames: false}
	// Fields that this process does not know are those of a newer one, as in protobuf.
	unmarshalJSON = protojson.UnmarshalOptions{DiscardUnknown: true}
)
