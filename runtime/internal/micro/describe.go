package micro

import (
	"maps"
	"unicode/utf8"

	"github.com/nats-io/nats.go/micro"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/aegisrpc/aegis/runtime/internal/descset"
)

// The entries of the metadata of an endpoint that say what it is for.
const (
	metadataRequest     = "request"
	metadataResponse    = "response"
	metadataDescription = "description"
	metadataDescriptors = "descriptors"
)

// maxDescription bounds a description, as a service may have many methods, and the answer
// to a tool is one message.
const maxDescription = 1 << 10

// Describe says what a service is for, and where its descriptors are. set is nil if they are
// not known.
func (s *Service) Describe(service protoreflect.ServiceDescriptor, set *descset.Set) {
	if set == nil {
		return
	}
	s.Description = shortened(set.Comment(service))
	s.Metadata[metadataDescriptors] = set.Hash()
}

// Describe says what an endpoint is for, and which messages it takes and gives.
func (e *Endpoint) Describe(method protoreflect.MethodDescriptor, set *descset.Set) {
	e.Metadata[metadataRequest] = string(method.Input().FullName())
	e.Metadata[metadataResponse] = string(method.Output().FullName())
	if set == nil {
		return
	}
	if text := shortened(set.Comment(method)); text != "" {
		e.Metadata[metadataDescription] = text
	}
}

// shortened returns the beginning of a long text.
func shortened(text string) string {
	if len(text) <= maxDescription {
		return text
	}
	end := maxDescription
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "..."
}

// undescribed returns an answer to a tool without the descriptions of the endpoints, as the
// answer with them is too large for a message of NATS.
func undescribed(info *micro.Info) micro.Info {
	bare := *info
	bare.Endpoints = make([]micro.EndpointInfo, len(info.Endpoints))
	for i, e := range info.Endpoints {
		e.Metadata = maps.Clone(e.Metadata)
		delete(e.Metadata, metadataDescription)
		bare.Endpoints[i] = e
	}
	return bare
}
