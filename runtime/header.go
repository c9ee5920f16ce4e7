package aegis

import (
	"encoding/base64"
	"strings"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/bus"
)

// Header is the metadata of a request or a response: keys with values, beside
// the message. Keys are lower case; Set, Add, Get, Values and Del take any case.
// The value of a key that ends in "-bin" may be any bytes (they travel as
// base64); other values must have no control characters and no white space at
// their ends. Keys and values may take 8 KB in all. Keys that begin with
// "nats-" or "aegis-", and "content-type", belong to the transport.
//
// What breaks these rules is CodeInvalidArgument for a request, before anything
// is sent, and CodeInternal for a response. A Header is not safe for concurrent
// use.
type Header map[string][]string

// Set replaces the values of key by one.
func (h Header) Set(key, value string) { h[strings.ToLower(key)] = []string{value} }

// Add appends a value to those of key.
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

const binarySuffix = "-bin"

// encodeTo checks h and puts it into a NATS header.
func (h Header) encodeTo(out nats.Header) *Error {
	size := 0
	for key, values := range h {
		if err := checkKey(key); err != nil {
			return err
		}
		for _, v := range values {
			if strings.HasSuffix(key, binarySuffix) {
				v = base64.StdEncoding.EncodeToString([]byte(v))
			} else if !validValue(v) {
				return NewError(CodeInvalidArgument, "metadata "+quote(key)+": the value "+quote(v)+
					" has a control character or white space at an end; use a key that ends in -bin for such values")
			}
			size += len(key) + len(v)
			out[key] = append(out[key], v)
		}
	}
	return checkMetadataSize(size)
}

func checkMetadataSize(size int) *Error {
	if size <= wire.MaxMetadataBytes {
		return nil
	}
	return Errorf(CodeInvalidArgument, "the metadata takes %d bytes, at most %d are allowed", size, wire.MaxMetadataBytes)
}

func checkKey(key string) *Error {
	if key == "" {
		return NewError(CodeInvalidArgument, "metadata: a key is empty")
	}
	for i := range len(key) {
		c := key[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.' {
			return NewError(CodeInvalidArgument, "metadata: the key "+quote(key)+" has characters other than a-z 0-9 - _ .")
		}
	}
	if reservedKey(key) {
		return NewError(CodeInvalidArgument, "metadata: the key "+quote(key)+" is reserved for the transport")
	}
	return nil
}

// reservedKey tells the transport's headers from the user's, in any case.
func reservedKey(key string) bool {
	return wire.HasPrefixFold(key, "nats-") || wire.HasPrefixFold(key, "aegis-") || strings.EqualFold(key, wire.HeaderContentType)
}

func validValue(v string) bool {
	for i := range len(v) {
		if v[i] < ' ' && v[i] != '\t' || v[i] == 0x7f {
			return false
		}
	}
	return strings.TrimSpace(v) == v
}

// decodeHeader returns the user's part of a NATS header. A "-bin" value that is
// not base64 is an error.
func decodeHeader(in nats.Header) (Header, *Error) {
	h := make(Header, len(in))
	for key, values := range in {
		if reservedKey(key) {
			continue
		}
		key = strings.ToLower(key)
		for _, v := range values {
			if strings.HasSuffix(key, binarySuffix) {
				b, err := base64.StdEncoding.DecodeString(v)
				if err != nil {
					return nil, NewError(CodeInvalidArgument, "metadata "+quote(key)+": the value is not base64")
				}
				v = string(b)
			}
			h[key] = append(h[key], v)
		}
	}
	return h, nil
}

// readMessage reads an event, or the request of a command.
func readMessage(msg *nats.Msg, into proto.Message) *Error {
	if bus.HeaderUnreadable(msg) {
		return errRequestHeader
	}
	if err := proto.Unmarshal(msg.Data, into); err != nil {
		return unreadableStored(into, msg.Data, err)
	}
	return nil
}

var (
	errReplyHeader   = outward(bus.UnreadableReply)
	errRequestHeader = outward(bus.UnreadableRequest)
)
