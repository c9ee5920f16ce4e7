package wire

// KindDescriptors is the kind of the subjects on which servers are asked for the descriptors
// of a service.
const KindDescriptors = "desc"

// AnyDescriptors stands in the place of a hash: the caller takes any version of the
// descriptors.
const AnyDescriptors = "any"

// Headers of a reply with descriptors.
const (
	// HeaderDescriptors is the hash of the descriptors.
	HeaderDescriptors = "Aegis-Descriptors"
	// HeaderDescriptorsSize is how many bytes the whole set has, of which the reply is a
	// slice.
	HeaderDescriptorsSize = "Aegis-Descriptors-Size"
)

// MaxDescriptorsSlice is the greatest number of bytes of a reply with descriptors, whose
// limit is half of the max_payload of NATS as well.
const MaxDescriptorsSlice = 512 << 10

// DescriptorsKey is the key in the metadata of a stream that has the hash of the
// descriptors of the messages in it.
const DescriptorsKey = "aegis.descriptors"

// Descriptors is the subject of requests for the descriptors of a service that have a hash.
func (s Subjects) Descriptors(service, hash string) string {
	return join(s.ns, KindDescriptors, service, hash)
}

// DescriptorsBucket is the KV bucket of a namespace that has the descriptors of stored
// messages, by their hash.
func DescriptorsBucket(namespace string) string { return namespace + "-descriptors" }

// DescriptorsRequest is the body of a request for descriptors. An empty body is the same
// as the zero value.
type DescriptorsRequest struct {
	Offset int64 `json:"offset,omitempty"` // where in the set the slice begins
}

// Encode returns the body as JSON.
func (r DescriptorsRequest) Encode() []byte { return encode(r) }

// DecodeDescriptorsRequest reads a body.
func DecodeDescriptorsRequest(data []byte) (DescriptorsRequest, bool) {
	if len(data) == 0 {
		return DescriptorsRequest{}, true
	}
	return decode[DescriptorsRequest](data)
}
