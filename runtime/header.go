package aegis

import (
	"strings"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	"github.com/aegisrpc/aegis/runtime/internal/body"
	"github.com/aegisrpc/aegis/runtime/internal/metadata"
)

// Header is the metadata of a request or a response: keys with values, beside
// the message. Keys are lower case; Set, Add, Get, Values and Del take any case.
// The value of a key that ends in "-bin" may be any bytes (they travel as
// base64); other values must have no control characters and no white space at
// their ends. Keys and values may take 8 KB in all. Keys that begin with
// "nats-" or "aegis-", and "content-type", belong to the transport.
//
// Metadata that breaks these rules is an error: with CodeInvalidArgument for a request,
// of which nothing is sent then, and with CodeInternal for a response. A Header is not
// safe for concurrent use.
type Header map[string][]string

// Set replaces the values of key by one.
func (h Header) Set(key, value string) { h[strings.ToLower(key)] = []string{value} }

// Add appends a value to the values of key.
func (h Header) Add(key, value string) {
	key = strings.ToLower(key)
	h[key] = append(h[key], value)
}

// Get returns the first value of key, or "".
func (h Header) Get(key string) string {
	if vs := h[strings.ToLower(key)]; len(vs) > 0 {
		return vs[0]
	}
	return ""
}

// Values returns all values of key.
func (h Header) Values(key string) []string { return h[strings.ToLower(key)] }

// Del removes key.
func (h Header) Del(key string) { delete(h, strings.ToLower(key)) }

// encodeTo checks h and puts it into a NATS header.
func (h Header) encodeTo(out nats.Header) *Error { return outward(metadata.Encode(h, out)) }

// decodeHeader returns the user's part of a NATS header. A "-bin" value that is
// not base64 is an error.
func decodeHeader(in nats.Header) (Header, *Error) {
	h, why := metadata.Decode(in)
	return h, outward(why)
}

// readMessage reads an event, or the request of a command, by its content type.
func readMessage(msg *nats.Msg, into proto.Message) *Error {
	return outward(body.ReadStored(msg, into))
}
